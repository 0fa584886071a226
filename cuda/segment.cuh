// Segments of flat arrays, for the kernels that update parameters (sgd.cu, adam.cu).
//
// The weights and each kind of state of a section of the parameters are one array each, with equal offsets, so that one
// launch updates all of them. So are the gradients and the copies of the weights for matrix products, with offsets of
// their own: the filters of images have more channels there. The offset of a parameter is a multiple of 8 elements (16
// bytes of bf16). A table lists the parameters in segments of at most 4,096 elements, one per block, so that the work
// of blocks is balanced although parameters differ in size by a factor of 10,000. A parameter that is frozen, or whose
// lr_mult is 0, has no segment: its elements, its copy and the gaps between parameters are not accessed.
#pragma once

#include "common.cuh"

// Consecutive elements of one parameter.
struct alignas(16) Segment {
    uint32_t offset;  // in elements of the flat array: a multiple of 8
    int length;
    float lr_mult;
    float decay;  // weight_decay * decay_mult
    int first_step;  // number of the step that first updates the parameter, for adam.cu
    uint32_t wide_offset;  // in elements of the gradients and of the copies: a multiple of 8
    int channels;       // in the weights: the innermost size
    int wide_channels;  // in the gradients and in the copies; those above `channels` are not accessed
};

// Calls f with the indices of each element in the weights and in the copies, and the number of elements, for all
// elements of a segment, as packs where the weights are aligned.
template <class F>
__device__ __forceinline__ void for_each_of_segment(const Segment& segment, const float* weights, F f) {
    const size_t first = segment.offset, wide_first = segment.wide_offset;
    if (segment.channels == segment.wide_channels) {
        for_each_of_row(weights + first, segment.length,
                        [&](int i, auto width) { f(first + i, wide_first + i, width); });
        return;
    }
    for (int i = threadIdx.x; i < segment.length; i += blockDim.x) {
        const int pixel = i / segment.channels, channel = i % segment.channels;
        f(first + i, wide_first + static_cast<size_t>(pixel) * segment.wide_channels + channel, Width<1>());
    }
}
