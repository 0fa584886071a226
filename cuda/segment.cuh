// Segments of flat arrays, for the kernels that update parameters (sgd.cu, adam.cu).
//
// The weights, the gradients and each kind of state of all parameters are one array each, with equal offsets, so that
// one launch updates all parameters. The offset of a parameter is a multiple of 8 elements (16 bytes of bf16). A table
// lists the parameters in segments of at most 4,096 elements, one per block, so that the work of blocks is balanced
// although parameters differ in size by a factor of 10,000. A parameter that is frozen, or whose lr_mult is 0, has no
// segment: its elements, its bf16 copy and the gaps between parameters are not accessed.
#pragma once

#include "common.cuh"

// Consecutive elements of one parameter.
struct alignas(16) Segment {
    uint32_t offset;  // in elements of the flat array: a multiple of 8
    int length;
    float lr_mult;
    float decay;  // weight_decay * decay_mult
    int first_step;  // number of the step that first updates the parameter, for adam.cu
    int unused[3];
};
