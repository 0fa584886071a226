// ReLU: the kernels of src/ops/relu.rs, for a ReLU that is not fused into another kernel.
//
// The gradient depends on the output alone, so the input is not saved. NaN stays NaN and passes its gradient.
//
// Bytes, with s the bytes of an element: forward 2 s n, backward 3 s n.
#include "common.cuh"

namespace relu {

// ANCHOR: kernel
template <class T> __device__ __forceinline__ void forward(const T* x, T* y, size_t n) {
    for_each_of_grid<T>(n, [&](size_t i, auto width) {
        auto pack = load<decltype(width)::value>(x + i);
        // Not fmaxf, which returns 0 for NaN.
        for (T& element : pack.at) element = to_float(element) < 0.0f ? from_float<T>(0.0f) : element;
        store(y + i, pack);
    });
}
// ANCHOR_END: kernel

template <class T> __device__ __forceinline__ void backward(const T* y, const T* dy, T* dx, size_t n) {
    for_each_of_grid<T>(n, [&](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        const auto output = load<N>(y + i);
        auto pack = load<N>(dy + i);
        for (int k = 0; k < N; ++k) pack.at[k] = to_float(output.at[k]) <= 0.0f ? from_float<T>(0.0f) : pack.at[k];
        store(dx + i, pack);
    });
}

}

// ANCHOR: entry
// y [n] = max(x [n], 0). `y` may be `x`. Grid: any, best a thread for each 16 bytes.
extern "C" __global__ void relu_forward_f32(const float* x, float* y, size_t n) { relu::forward(x, y, n); }
extern "C" __global__ void relu_forward_bf16(const bf16* x, bf16* y, size_t n) { relu::forward(x, y, n); }
// ANCHOR_END: entry

// dx [n] = 0 where y <= 0, else dy. `dx` may be `dy`. Grid: as forward.
extern "C" __global__ void relu_backward_f32(const float* y, const float* dy, float* dx, size_t n) {
    relu::backward(y, dy, dx, n);
}
extern "C" __global__ void relu_backward_bf16(const bf16* y, const bf16* dy, bf16* dx, size_t n) {
    relu::backward(y, dy, dx, n);
}

SOFTCUDA_KERNELS(relu_forward_f32, relu_forward_bf16, relu_backward_f32, relu_backward_bf16)
