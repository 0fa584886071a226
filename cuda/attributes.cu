// Softmax cross entropy of several classifiers side by side: the kernels of src/ops/attributes.rs. A row of the logits
// has columns of each attribute, some ten at most, so a warp takes one attribute of one image.
//
// Bytes: forward 4 m K + 16 m M for K columns and M attributes, backward 8 m K + 12 m M. A batch is launch-bound.
#include "common.cuh"

namespace attributes {

// One attribute of one image.
struct Part {
    int index;          // image times the number of attributes, plus the attribute; the warp's number
    size_t first;       // the first logit
    int size, target;   // the number of values, and that of the image's identity; -1 if its label is no class
};

// The part of this warp. False, for all of its lanes, behind the last one.
__device__ __forceinline__ bool part_of_warp(const int* labels, const int* values, const int* starts, int m, int count,
                                             int classes, Part* part) {
    const size_t warp = thread_of_grid() / LANES;
    if (warp >= static_cast<size_t>(m) * count) return false;
    const int image = static_cast<int>(warp / count), attribute = static_cast<int>(warp % count);
    const int label = labels[image], start = starts[attribute];
    part->index = static_cast<int>(warp);
    part->first = static_cast<size_t>(image) * starts[count] + start;
    part->size = starts[attribute + 1] - start;
    part->target = 0 <= label && label < classes ? values[static_cast<size_t>(label) * count + attribute] : -1;
    return true;
}

}

// losses [m, attributes] and partition [m, attributes] (largest logit, logarithm of the sum of exponentials) of logits
// [m, starts[attributes]] and labels [m], with the values [classes, attributes] of the identities. A label that is no
// class gives NaN. Grid: ceil(32 m attributes / block) blocks.
extern "C" __global__ void attributes_forward_f32(const float* __restrict__ logits, const int* __restrict__ labels,
                                                  const int* __restrict__ values, const int* __restrict__ starts,
                                                  float* __restrict__ losses, float2* __restrict__ partition, int m,
                                                  int attributes, int classes) {
    attributes::Part part;
    if (!attributes::part_of_warp(labels, values, starts, m, attributes, classes, &part)) return;
    const int lane = threadIdx.x % LANES;
    const float* z = logits + part.first;
    float own = -INFINITY;
    for (int k = lane; k < part.size; k += LANES) own = fmaxf(own, z[k]);
    const float max = warp_reduce<Max>(own);
    float exponentials = 0.0f;
    for (int k = lane; k < part.size; k += LANES) exponentials += expf(z[k] - max);
    const float sum = warp_reduce<Sum>(exponentials);
    if (lane == 0) {
        // Not max + log(sum), where a large maximum would absorb the digits of the logarithm.
        const float log_sum = logf(sum);
        losses[part.index] = part.target >= 0 ? log_sum - (z[part.target] - max) : NAN;
        partition[part.index] = make_float2(max, log_sum);
    }
}

// loss [1]: the mean of losses [n]. Grid: one block.
extern "C" __global__ void attributes_mean(const float* __restrict__ losses, float* __restrict__ loss, int n) {
    __shared__ float scratch[LANES];
    float own = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) own += losses[i];
    const float sum = block_reduce<Sum>(own, 0.0f, scratch);
    if (threadIdx.x == 0) *loss = sum / static_cast<float>(n);
}

// dlogits [m, starts[attributes]] = (softmax of each attribute - onehot of its value) dy / (m attributes). `dlogits`
// may be `logits`. Grid: ceil(32 m attributes / block) blocks.
extern "C" __global__ void attributes_backward_f32(const float* logits, const int* labels, const int* values,
                                                   const int* starts, const float2* partition, const float* dy,
                                                   float* dlogits, int m, int attributes, int classes) {
    attributes::Part part;
    if (!attributes::part_of_warp(labels, values, starts, m, attributes, classes, &part)) return;
    const float2 saved = partition[part.index];
    const float scale = *dy / (static_cast<float>(m) * static_cast<float>(attributes));
    for (int k = threadIdx.x % LANES; k < part.size; k += LANES) {
        const float probability = expf((logits[part.first + k] - saved.x) - saved.y);
        dlogits[part.first + k] = (probability - (k == part.target ? 1.0f : 0.0f)) * scale;
    }
}

SOFTCUDA_KERNELS(attributes_forward_f32, attributes_mean, attributes_backward_f32)
