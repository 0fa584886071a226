// Batch normalisation with the epilogue of a residual block: the kernels of src/ops/batchnorm.rs.
//
//   y = relu(gamma (x - mean) / sqrt(var + eps) + beta + residual),  residual and relu optional
//
// x is [rows, C], with all dimensions but the last merged. columns.cuh describes the blocks and the sums over rows.
//
// Bytes, with e bytes per element: statistics e R C; forward 2 e R C (3 with a residual); sums of the backward pass
// 2 e R C (3 with the output's mask, 4 if dy is masked in place), its last pass 3 e R C. All are bound by memory.
//
// `table` [5, C] has the coefficients of the normalisation: mean, low, 1 / std, scale, shift with y = (x - mean)
// scale + shift. `low` is the rounding error of the f32 mean; `shift` includes its correction.
#include "columns.cuh"

namespace batchnorm {

constexpr float EPS = 1e-5f;
// The mask of the ReLU's gradient: none; dy passes where the saved output is positive or NaN; where the output
// recomputed from x is positive or NaN.
enum Mask : int { OFF = 0, OUTPUT = 1, RECOMPUTED = 2 };

__device__ __forceinline__ float rectified(float v) { return v < 0.0f ? 0.0f : v; }
__device__ __forceinline__ float passed(float dy, float y) { return y <= 0.0f ? 0.0f : dy; }

// Computes for each chunk and channel: the chunk's first value as a pivot, the sums of x - pivot and of its square.
template <class T, int N>
__device__ __forceinline__ void moments(const T* __restrict__ x, float* __restrict__ chunks, size_t rows, int c,
                                        int rows_a_chunk) {
    alignas(16) __shared__ float scratch[MAX_COLUMN_THREADS * N];
    const Walk<N> walk(rows, c, rows_a_chunk);
    float* out = chunks + static_cast<size_t>(blockIdx.y) * 3 * c;
    Pack<float, N> pivot = {};
    if (walk.inside) pivot = load_floats<N>(x + (walk.row - threadIdx.y) * c + walk.channel);
    if (walk.inside && threadIdx.y == 0) store_floats<N>(out + walk.channel, pivot);
    float sum[N] = {}, square[N] = {};
    walk.template each<4>(
        c, [&](size_t at) { return load<N>(x + at); },
        [&](size_t, const Pack<T, N>& pack) {
            for (int k = 0; k < N; ++k) {
                const float distance = to_float(pack.at[k]) - pivot.at[k];
                sum[k] += distance;
                square[k] += distance * distance;
            }
        });
    sum_columns(sum, c, scratch, [&](int channel, float of_column) { out[c + channel] = of_column; });
    sum_columns(square, c, scratch, [&](int channel, float of_column) { out[2 * c + channel] = of_column; });
}

__device__ __forceinline__ void fill(float* table, int c, int i, double mean, double var, float gamma, float beta) {
    const double inv_std = 1.0 / sqrt(var + static_cast<double>(EPS));
    const double scale = static_cast<double>(gamma) * inv_std;
    const double low = mean - static_cast<double>(static_cast<float>(mean));
    table[i] = static_cast<float>(mean);
    table[c + i] = static_cast<float>(low);
    table[2 * c + i] = static_cast<float>(inv_std);
    table[3 * c + i] = static_cast<float>(scale);
    table[4 * c + i] = static_cast<float>(static_cast<double>(beta) - low * scale);
}

__device__ __forceinline__ float blend(float running, double batch, float momentum) {
    const double m = static_cast<double>(momentum);
    return static_cast<float>((1.0 - m) * static_cast<double>(running) + m * batch);
}

// The coefficients of N channels.
template <int N> struct Affine {
    Pack<float, N> mean = {}, scale = {}, shift = {};

    __device__ __forceinline__ Affine(const float* table, int c, int channel, bool inside) {
        if (!inside) return;
        mean = load_floats<N>(table + channel);
        scale = load_floats<N>(table + 3 * c + channel);
        shift = load_floats<N>(table + 4 * c + channel);
    }
    __device__ __forceinline__ float operator()(float x, int k) const {
        return (x - mean.at[k]) * scale.at[k] + shift.at[k];
    }
};

// Packs of the same place in several tensors; those that are not read have no content.
template <class T, int N> struct Packs {
    Pack<T, N> dy, x, y;
};

template <class T, int N>
__device__ __forceinline__ void forward(const T* x, const float* table, const T* residual, T* y, int relu, size_t rows,
                                        int c) {
    const Walk<N> walk(rows, c);
    const Affine<N> affine(table, c, walk.channel, walk.inside);
    struct Inputs {
        Pack<T, N> x, residual;
    };
    walk.template each<4>(
        c,
        [&](size_t at) {
            Inputs in;
            in.x = load<N>(x + at);
            if (residual) in.residual = load<N>(residual + at);
            return in;
        },
        [&](size_t at, const Inputs& in) {
            Pack<T, N> out;
            for (int k = 0; k < N; ++k) {
                float value = affine(to_float(in.x.at[k]), k);
                if (residual) value += to_float(in.residual.at[k]);
                out.at[k] = from_float<T>(relu ? rectified(value) : value);
            }
            store<N>(y + at, out);
        });
}

// The masked gradient of one pack.
template <class T, int N>
__device__ __forceinline__ void masked(float (&g)[N], const Packs<T, N>& in, Mask mask, const Affine<N>& affine) {
    for (int k = 0; k < N; ++k) g[k] = to_float(in.dy.at[k]);
    if (mask == OUTPUT) {
        for (int k = 0; k < N; ++k) g[k] = passed(g[k], to_float(in.y.at[k]));
    } else if (mask == RECOMPUTED) {
        for (int k = 0; k < N; ++k) g[k] = passed(g[k], affine(to_float(in.x.at[k]), k));
    }
}

// Computes for each chunk and channel the sums of g and of g (x - mean). With `mask_dy`, dy is masked in place.
template <class T, int N>
__device__ __forceinline__ void backward_sums(T* dy, const T* x, const T* y, const float* table, float* chunks,
                                              Mask mask, int mask_dy, size_t rows, int c, int rows_a_chunk) {
    alignas(16) __shared__ float scratch[MAX_COLUMN_THREADS * N];
    const Walk<N> walk(rows, c, rows_a_chunk);
    const Affine<N> affine(table, c, walk.channel, walk.inside);
    float dbeta[N] = {}, dgamma[N] = {};
    walk.template each<2>(
        c,
        [&](size_t at) {
            Packs<T, N> in;
            in.dy = load<N>(dy + at);
            in.x = load<N>(x + at);
            if (mask == OUTPUT) in.y = load<N>(y + at);
            return in;
        },
        [&](size_t at, const Packs<T, N>& in) {
            float g[N];
            masked(g, in, mask, affine);
            Pack<T, N> kept;
            for (int k = 0; k < N; ++k) {
                dbeta[k] += g[k];
                dgamma[k] += g[k] * (to_float(in.x.at[k]) - affine.mean.at[k]);
                kept.at[k] = from_float<T>(g[k]);
            }
            if (mask_dy) store<N>(dy + at, kept);
        });
    float* out = chunks + static_cast<size_t>(blockIdx.y) * 2 * c;
    sum_columns(dbeta, c, scratch, [&](int channel, float sum) { out[channel] = sum; });
    sum_columns(dgamma, c, scratch, [&](int channel, float sum) { out[c + channel] = sum; });
}

// dx = scale g + (x - mean) slope + offset, the last two terms only with a correction [2, C]; otherwise x may be null.
template <class T, int N>
__device__ __forceinline__ void backward_input(const T* dy, const T* x, const T* y, const float* table,
                                               const float* correction, T* dx, Mask mask, size_t rows, int c) {
    const Walk<N> walk(rows, c);
    const Affine<N> affine(table, c, walk.channel, walk.inside);
    Pack<float, N> slope = {}, offset = {};
    if (correction && walk.inside) {
        slope = load_floats<N>(correction + walk.channel);
        offset = load_floats<N>(correction + c + walk.channel);
    }
    walk.template each<2>(
        c,
        [&](size_t at) {
            Packs<T, N> in;
            in.dy = load<N>(dy + at);
            if (x) in.x = load<N>(x + at);
            if (mask == OUTPUT) in.y = load<N>(y + at);
            return in;
        },
        [&](size_t at, const Packs<T, N>& in) {
            float g[N];
            masked(g, in, mask, affine);
            Pack<T, N> out;
            for (int k = 0; k < N; ++k) {
                float value = affine.scale.at[k] * g[k];
                if (correction)
                    value += (to_float(in.x.at[k]) - affine.mean.at[k]) * slope.at[k] + offset.at[k];
                out.at[k] = from_float<T>(value);
            }
            store<N>(dx + at, out);
        });
}

}

// chunks [ceil(rows / rows_a_chunk), 3, C]: the partial moments of x. Grid: (blocks of channels) x (chunks). A thread
// has W channels: 16 bytes of elements if that divides C, else one; a block of x threads covers x W channels.
extern "C" __global__ void batchnorm_moments_f32(const float* x, float* chunks, size_t rows, int c, int rows_a_chunk) {
    BY_WIDTH(float, batchnorm::moments, x, chunks, rows, c, rows_a_chunk)
}
extern "C" __global__ void batchnorm_moments_bf16(const bf16* x, float* chunks, size_t rows, int c, int rows_a_chunk) {
    BY_WIDTH(bf16, batchnorm::moments, x, chunks, rows, c, rows_a_chunk)
}

// Combines the chunks: computes `table` [5, C] from mean and variance of the batch and updates the running statistics
// [C], with the unbiased variance. Grid: (blocks of channels), one channel per column of threads, whose threads share
// the chunks.
extern "C" __global__ void batchnorm_statistics(const float* chunks, const float* gamma, const float* beta,
                                                float* running_mean, float* running_var, float* table, float momentum,
                                                size_t rows, int c, int rows_a_chunk) {
    __shared__ double scratch[MAX_COLUMN_THREADS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const int count = static_cast<int>((rows + rows_a_chunk - 1) / rows_a_chunk);
    const bool inside = i < c;
    // A chunk's mean is pivot + sum / n, its squared deviation square - sum^2 / n (Chan, Golub, LeVeque 1983).
    auto size = [&](int chunk) {
        return static_cast<double>(
            min(static_cast<size_t>(rows_a_chunk), rows - static_cast<size_t>(chunk) * rows_a_chunk));
    };
    auto value = [&](int chunk, int what) {
        return static_cast<double>(chunks[(static_cast<size_t>(chunk) * 3 + what) * c + i]);
    };
    double sum = 0.0;
    for (int chunk = threadIdx.y; inside && chunk < count; chunk += blockDim.y)
        sum += size(chunk) * value(chunk, 0) + value(chunk, 1);
    const double mean = column_sum(sum, scratch) / static_cast<double>(rows);
    double square = 0.0;
    for (int chunk = threadIdx.y; inside && chunk < count; chunk += blockDim.y) {
        const double n = size(chunk), s = value(chunk, 1);
        const double own = value(chunk, 2) - s * s / n, distance = value(chunk, 0) + s / n - mean;
        // Rounding may make the deviation negative; NaN must stay NaN.
        square += (own < 0.0 ? 0.0 : own) + n * distance * distance;
    }
    const double deviation = column_sum(square, scratch);
    if (!inside || threadIdx.y > 0) return;
    const double n = static_cast<double>(rows);
    batchnorm::fill(table, c, i, mean, deviation / n, gamma[i], beta[i]);
    running_mean[i] = batchnorm::blend(running_mean[i], mean, momentum);
    running_var[i] = batchnorm::blend(running_var[i], deviation / (n - 1.0), momentum);
}

// Computes `table` from the running statistics. Grid: any, of one-dimensional blocks.
extern "C" __global__ void batchnorm_frozen(const float* mean, const float* var, const float* gamma, const float* beta,
                                            float* table, int c) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < c; i += gridDim.x * blockDim.x)
        batchnorm::fill(table, c, i, static_cast<double>(mean[i]), static_cast<double>(var[i]), gamma[i], beta[i]);
}

// y [rows, C], the normalised x. y may be x; `residual` may be null. Grid: (blocks of channels) x (any number of blocks
// of rows).
extern "C" __global__ void batchnorm_forward_f32(const float* x, const float* table, const float* NULLABLE residual,
                                                 float* y, int relu, size_t rows, int c) {
    BY_WIDTH(float, batchnorm::forward, x, table, residual, y, relu, rows, c)
}
extern "C" __global__ void batchnorm_forward_bf16(const bf16* x, const float* table, const bf16* NULLABLE residual,
                                                  bf16* y, int relu, size_t rows, int c) {
    BY_WIDTH(bf16, batchnorm::forward, x, table, residual, y, relu, rows, c)
}

// chunks [ceil(rows / rows_a_chunk), 2, C]: the partial sums of dbeta and dgamma; `y` is read only with the mask
// OUTPUT. Grid: as batchnorm_moments.
extern "C" __global__ void batchnorm_backward_sums_f32(float* dy, const float* x, const float* NULLABLE y,
                                                       const float* table, float* chunks, int mask, int mask_dy,
                                                       size_t rows, int c, int rows_a_chunk) {
    BY_WIDTH(float, batchnorm::backward_sums, dy, x, y, table, chunks, static_cast<batchnorm::Mask>(mask), mask_dy,
             rows, c, rows_a_chunk)
}
extern "C" __global__ void batchnorm_backward_sums_bf16(bf16* dy, const bf16* x, const bf16* NULLABLE y,
                                                        const float* table, float* chunks, int mask, int mask_dy,
                                                        size_t rows, int c, int rows_a_chunk) {
    BY_WIDTH(bf16, batchnorm::backward_sums, dy, x, y, table, chunks, static_cast<batchnorm::Mask>(mask), mask_dy, rows,
             c, rows_a_chunk)
}

// dgamma and dbeta [C], each written or added, or skipped if null; `correction` [2, C], the correction of dx by batch
// statistics, skipped if null. Grid: as batchnorm_statistics.
extern "C" __global__ void batchnorm_backward_parameters(const float* chunks, const float* table,
                                                         float* NULLABLE dgamma, int add_dgamma, float* NULLABLE dbeta,
                                                         int add_dbeta, float* NULLABLE correction, size_t rows, int c,
                                                         int count) {
    __shared__ double scratch[MAX_COLUMN_THREADS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const bool inside = i < c;
    double g = 0.0, g_distance = 0.0;
    for (int chunk = threadIdx.y; inside && chunk < count; chunk += blockDim.y) {
        g += static_cast<double>(chunks[static_cast<size_t>(chunk) * 2 * c + i]);
        g_distance += static_cast<double>(chunks[(static_cast<size_t>(chunk) * 2 + 1) * c + i]);
    }
    const double sum = column_sum(g, scratch), sum_distance = column_sum(g_distance, scratch);
    if (!inside || threadIdx.y > 0) return;
    const double low = table[c + i], inv_std = table[2 * c + i], scale = table[3 * c + i];
    // Up to here the second sum is of g (x - mean) with the rounded mean.
    const double gamma_gradient = (sum_distance - low * sum) * inv_std;
    if (dgamma) dgamma[i] = merged(add_dgamma ? dgamma[i] : 0.0f, static_cast<float>(gamma_gradient), add_dgamma);
    if (dbeta) dbeta[i] = merged(add_dbeta ? dbeta[i] : 0.0f, static_cast<float>(sum), add_dbeta);
    if (correction) {
        const double by = -scale / static_cast<double>(rows), slope = by * gamma_gradient * inv_std;
        correction[i] = static_cast<float>(slope);
        correction[c + i] = static_cast<float>(by * sum - slope * low);
    }
}

// dx [rows, C], the gradient of x. dx may be x or dy. Without a correction (frozen statistics) x is read only for the
// mask RECOMPUTED, and may be null otherwise. Grid: as batchnorm_forward.
extern "C" __global__ void batchnorm_backward_input_f32(const float* dy, const float* NULLABLE x,
                                                        const float* NULLABLE y, const float* table,
                                                        const float* NULLABLE correction, float* dx, int mask,
                                                        size_t rows, int c) {
    BY_WIDTH(float, batchnorm::backward_input, dy, x, y, table, correction, dx, static_cast<batchnorm::Mask>(mask),
             rows, c)
}
extern "C" __global__ void batchnorm_backward_input_bf16(const bf16* dy, const bf16* NULLABLE x, const bf16* NULLABLE y,
                                                         const float* table, const float* NULLABLE correction, bf16* dx,
                                                         int mask, size_t rows, int c) {
    BY_WIDTH(bf16, batchnorm::backward_input, dy, x, y, table, correction, dx, static_cast<batchnorm::Mask>(mask), rows,
             c)
}

SOFTCUDA_KERNELS(batchnorm_moments_f32, batchnorm_moments_bf16, batchnorm_statistics, batchnorm_frozen,
                 batchnorm_forward_f32, batchnorm_forward_bf16, batchnorm_backward_sums_f32,
                 batchnorm_backward_sums_bf16, batchnorm_backward_parameters, batchnorm_backward_input_f32,
                 batchnorm_backward_input_bf16)
