// L2 normalisation of rows: the kernels of src/ops/l2_normalize.rs.
//
// One block per row, which it reads twice: for the sum of squares, then for the scaling. The second read is served by
// the L1 cache, so only the first one counts. Features are f32 only.
//
// The range of f32 limits the lengths: above 1.8e19 the square of the length is infinite, so is its entry of `norms`,
// and the row of y is NaN (a row of zeros would hide the overflow from the loss). Squares of elements below 1e-19 lose
// accuracy; a row of only such elements is divided by 1e-12.
//
// Bytes, of rows [m, d]: forward 8 m d + 4 m, backward 12 m d + 4 m.
#include "common.cuh"

namespace l2_normalize {

// The smallest divisor.
constexpr float EPSILON = 1e-12f;

__device__ __forceinline__ void forward(const float* x, float* y, float* norms, int d) {
    __shared__ float scratch[LANES];
    const size_t start = static_cast<size_t>(blockIdx.x) * d;
    float own = 0.0f;
    for_each_of_row(x + start, d, [&](int i, auto width) {
        const auto pack = load<decltype(width)::value>(x + start + i);
        for (const float element : pack.at) own += element * element;
    });
    const float square = block_reduce<Sum>(own, 0.0f, scratch);
    const float norm = sqrtf(square);
    // norm / square is 1 / norm, and NaN when the square is infinite.
    const float scale = norm < EPSILON ? 1.0f / EPSILON : norm / square;
    for_each_of_row(x + start, d, [&](int i, auto width) {
        auto pack = load<decltype(width)::value>(x + start + i);
        for (float& element : pack.at) element *= scale;
        store(y + start + i, pack);
    });
    if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

__device__ __forceinline__ void backward(const float* y, const float* norms, const float* dy, float* dx, int d) {
    __shared__ float scratch[LANES];
    const size_t start = static_cast<size_t>(blockIdx.x) * d;
    const float norm = norms[blockIdx.x];
    const bool is_bounded = norm < EPSILON;  // the divisor is then a constant
    float radial = 0.0f;
    if (!is_bounded) {
        float own = 0.0f;
        for_each_of_row(y + start, d, [&](int i, auto width) {
            constexpr int N = decltype(width)::value;
            const auto output = load<N>(y + start + i), gradient = load<N>(dy + start + i);
            for (int k = 0; k < N; ++k) own += gradient.at[k] * output.at[k];
        });
        radial = block_reduce<Sum>(own, 0.0f, scratch);
    }
    const float scale = 1.0f / (is_bounded ? EPSILON : norm);
    for_each_of_row(y + start, d, [&](int i, auto width) {
        constexpr int N = decltype(width)::value;
        const auto output = load<N>(y + start + i);
        auto gradient = load<N>(dy + start + i);
        for (int k = 0; k < N; ++k) gradient.at[k] = (gradient.at[k] - radial * output.at[k]) * scale;
        store(dx + start + i, gradient);
    });
}

}

// y [m, d] and norms [m], the lengths before the lower bound, of x [m, d]. `y` may be `x`. Grid: m blocks.
extern "C" __global__ void l2_normalize_forward_f32(const float* x, float* y, float* norms, int d) {
    l2_normalize::forward(x, y, norms, d);
}

// dx [m, d] = (dy - (dy . y) y) / norm of each row; below the bound dy / 1e-12. `dx` may be `dy`. Grid: m blocks.
extern "C" __global__ void l2_normalize_backward_f32(const float* y, const float* norms, const float* dy, float* dx,
                                                     int d) {
    l2_normalize::backward(y, norms, dy, dx, d);
}

SOFTCUDA_KERNELS(l2_normalize_forward_f32, l2_normalize_backward_f32)
