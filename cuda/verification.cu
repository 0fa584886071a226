// Pairs for a verification loss: the kernels of src/ops/verification.rs. A batch of m images has m / 2 pairs, row i and
// row i + m / 2, so the two halves of x are two arrays of n = (m / 2) D elements.
//
// Bytes: forward 12 n; backward 20 n when the gradient is written.
#include "common.cuh"

namespace verification {

// Calls f(i, Width<N>) for packs of N of the elements 0..n, shared by all threads of the grid. The second half of a
// buffer of 2 n elements is aligned for packs only if n is a multiple of them.
template <class F> __device__ __forceinline__ void for_each(size_t n, F f) {
    if (n % PACK<float> == 0) {
        for_each_of_grid<float>(n, f);
    } else {
        for (size_t i = thread_of_grid(); i < n; i += threads_of_grid()) f(i, Width<1>());
    }
}

}

// y [n] = (x_i - x_(i + n))^2 of x [2 n]. Grid: any number of blocks.
extern "C" __global__ void verification_forward_f32(const float* __restrict__ x, float* __restrict__ y, size_t n) {
    verification::for_each(n, [=](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        auto a = load<N>(x + i);
        const auto b = load<N>(x + n + i);
        for (int k = 0; k < N; ++k) {
            const float difference = a.at[k] - b.at[k];
            a.at[k] = difference * difference;
        }
        store<N>(y + i, a);
    });
}

// dx [2 n], written or added: 2 (x_i - x_(i + n)) dy_i for the first of a pair, minus that for the second. Grid: any
// number of blocks.
extern "C" __global__ void verification_backward_f32(const float* __restrict__ x, const float* __restrict__ dy,
                                                     float* __restrict__ dx, int accumulate, size_t n) {
    verification::for_each(n, [=](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        const auto a = load<N>(x + i), b = load<N>(x + n + i), gradient = load<N>(dy + i);
        Pack<float, N> first = {}, second = {};
        if (accumulate) {
            first = load<N>(dx + i);
            second = load<N>(dx + n + i);
        }
        for (int k = 0; k < N; ++k) {
            const float slope = 2.0f * (a.at[k] - b.at[k]) * gradient.at[k];
            first.at[k] = merged(first.at[k], slope, accumulate);
            second.at[k] = merged(second.at[k], -slope, accumulate);
        }
        store<N>(dx + i, first);
        store<N>(dx + n + i, second);
    });
}

// same [n]: 1 if labels i and i + n are equal, else 0. Grid: ceil(n / block) blocks.
extern "C" __global__ void verification_labels(const int* __restrict__ labels, int* __restrict__ same, int n) {
    const size_t i = thread_of_grid();
    if (i < n) same[i] = labels[i] == labels[i + n];
}

SOFTCUDA_KERNELS(verification_forward_f32, verification_backward_f32, verification_labels)
