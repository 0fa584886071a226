// Sum of two tensors: the kernel of src/ops/add.rs, for sums that are not fused into another kernel.
//
// The backward pass has no kernel of its own: the gradient is dy itself. The first writer of da or db copies dy (or
// takes its buffer); a later writer adds dy in place, which is this kernel with y = a = da and b = dy.
//
// Bytes: 3 s n, with s the bytes of an element. bf16 sums in f32 and rounds once.
#include "common.cuh"

namespace add {

template <class T> __device__ __forceinline__ void forward(const T* a, const T* b, T* y, size_t n) {
    for_each_of_grid<T>(n, [&](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        auto sum = load_floats<N>(a + i);
        const auto other = load_floats<N>(b + i);
        for (int k = 0; k < N; ++k) sum.at[k] += other.at[k];
        store_floats(y + i, sum);
    });
}

}

// y [n] = a [n] + b [n]. `y` may be `a`, `b` or both. Grid: any, best a thread for each 16 bytes.
extern "C" __global__ void add_forward_f32(const float* a, const float* b, float* y, size_t n) {
    add::forward(a, b, y, n);
}
extern "C" __global__ void add_forward_bf16(const bf16* a, const bf16* b, bf16* y, size_t n) {
    add::forward(a, b, y, n);
}

SOFTCUDA_KERNELS(add_forward_f32, add_forward_bf16)
