// Exponential moving average of the weights: the kernel of src/ops/ema.rs.
//
// Bytes: 12 n. nvcc fuses the multiplication with the addition, so the last bits differ from the CPU's.
#include "common.cuh"

// average [n] += rest (weights [n] - average). The arrays do not overlap. Grid: any, best a thread for each 4 elements.
extern "C" __global__ void ema_f32(float* average, const float* weights, float rest, size_t n) {
    for_each_of_grid<float>(n, [&](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        auto a = load<N>(average + i);
        const auto w = load<N>(weights + i);
        for (int k = 0; k < N; ++k) a.at[k] += rest * (w.at[k] - a.at[k]);
        store(average + i, a);
    });
}

SOFTCUDA_KERNELS(ema_f32)
