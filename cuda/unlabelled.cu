// Targets of the softmax loss for batches with images without an identity, whose label is -1. 8 m bytes are read and
// written by the threads of a block or a few: the time is that of a launch.
#include "common.cuh"

// targets [m]: the labels [m], and class 0 for the label -1; smoothings [m]: 1 for the label -1, else `smoothing`.
// Grid: m threads or fewer.
extern "C" __global__ void unlabelled_targets(const int* __restrict__ labels, float smoothing,
                                              int* __restrict__ targets, float* __restrict__ smoothings, int m) {
    for (size_t i = thread_of_grid(); i < m; i += threads_of_grid()) {
        const int label = labels[i];
        targets[i] = label == -1 ? 0 : label;
        smoothings[i] = label == -1 ? 1.0f : smoothing;
    }
}

SOFTCUDA_KERNELS(unlabelled_targets)
