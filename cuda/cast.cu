// Casts between f32 and bf16: the kernels of `Tensor::convert_from`, for loaded weights and averages (optimisers write the
// bf16 copy of the weights themselves).
//
// f32 to bf16 rounds to the nearest, ties to even; numbers beyond the largest bf16 become infinite, subnormal numbers
// are kept, and a NaN stays a NaN. bf16 to f32 is exact.
//
// Bytes: 6 n. A thread takes 8 elements: one access of 16 bytes on the side of bf16 and two on that of f32.
#include "common.cuh"

namespace cast {

template <class In, class Out> __device__ __forceinline__ void apply(const In* __restrict__ x, Out* y, size_t n) {
    for_each_of_grid<bf16>(n, [&](size_t i, auto width) {
        store_floats(y + i, load_floats<decltype(width)::value>(x + i));
    });
}

}

// y [n] = x [n] in the other type; they may not overlap. Grid: any, best a thread for each 8 elements.
extern "C" __global__ void cast_f32_bf16(const float* x, bf16* y, size_t n) { cast::apply(x, y, n); }
extern "C" __global__ void cast_bf16_f32(const bf16* x, float* y, size_t n) { cast::apply(x, y, n); }

SOFTCUDA_KERNELS(cast_f32_bf16, cast_bf16_f32)
