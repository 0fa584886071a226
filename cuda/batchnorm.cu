// Batch normalisation with the epilogue of a residual block: the kernels of src/ops/batchnorm.rs.
//
//   y = relu(gamma (x - mean) / sqrt(var + eps) + beta + residual),  residual and relu optional
//
// x is [rows, C], with all dimensions but the last merged. tiles.cuh describes its tiles, the two phases of a launch
// and the rows of a tile that are kept between them: SUMS adds up each tile, APPLY combines the sums of a column of
// tiles and writes the result.
//
// Bytes, with e bytes per element: forward 2 e R C, and e R C for a residual; backward 3 e R C, and 2 e R C for a
// residual, which needs the output's sign and the masked dy. A row that is not kept is read once more. All are bound by
// memory.
//
// `table` [5, C] has the coefficients of the normalisation: mean, low, 1 / std, scale, shift with y = (x - mean)
// scale + shift. `low` is the rounding error of the f32 mean; `shift` includes its correction.
#include "tiles.cuh"

#include <cooperative_groups.h>

namespace batchnorm {

using namespace tiles;

constexpr float EPS = 1e-5f;
// The mask of the ReLU's gradient: none; dy passes where the saved output is positive or NaN; where the output
// recomputed from x is positive or NaN.
enum Mask : int { OFF = 0, OUTPUT = 1, RECOMPUTED = 2 };

__device__ __forceinline__ float rectified(float v) { return v < 0.0f ? 0.0f : v; }
__device__ __forceinline__ float passed(float dy, float y) { return y <= 0.0f ? 0.0f : dy; }

// The coefficients of this thread's N channels.
template <int N> struct Normaliser {
    Pack<float, N> mean = {}, scale = {}, shift = {};

    // From the block's shared memory. A thread outside of the tensor has none.
    __device__ __forceinline__ Normaliser(const Block<N>& block, const Tile<N>& tile) {
        if (!tile.inside) return;
        const float* own = block.coefficients + threadIdx.x * N;
        mean = load_floats<N>(own);
        scale = load_floats<N>(own + block.width);
        shift = load_floats<N>(own + 2 * block.width);
    }
    __device__ __forceinline__ float operator()(float x, int k) const {
        return (x - mean.at[k]) * scale.at[k] + shift.at[k];
    }
};

// ---- Forward.

// Writes for a tile and each of its channels: the first value as a pivot, the sums of x - pivot and of its square.
template <class T, int N>
__device__ __forceinline__ void moments(const Block<N>& block, const Tile<N>& tile, const Kept<T, N>& kept, const T* x,
                                        float* chunks) {
    const int c = tile.c, own = tile.first_channel + block.thread;
    float* out = chunks + static_cast<size_t>(tile.chunk) * 3 * c;
    // One thread reads the pivot of a channel, and all threads of its column use it.
    __syncthreads();
    if (block.thread < block.width && own < c)
        out[own] = block.coefficients[block.thread] = to_float(x[tile.first_row * c + own]);
    __syncthreads();
    Pack<float, N> pivot = {};
    if (tile.inside) pivot = load_floats<N>(block.coefficients + threadIdx.x * N);
    float sum[N] = {}, square[N] = {};
    tile.template each<ROWS<T>>([&](size_t at, int) { return load<N>(x + at); },
                          [&](size_t, int row, const Pack<T, N>& pack) {
                              if (kept.has(row)) kept.at(row) = pack;
                              for (int k = 0; k < N; ++k) {
                                  const float distance = to_float(pack.at[k]) - pivot.at[k];
                                  sum[k] += distance;
                                  square[k] += distance * distance;
                              }
                          });
    for (int what = 1; what <= 2; ++what) {
        block.sum(what == 1 ? sum : square, [&](int channel, float total) {
            channel += tile.first_channel;
            if (channel < c) out[what * c + channel] = total;
        });
    }
}

// The coefficients of a channel, and its entries of `table`, which may be null.
__device__ __forceinline__ void fill(float* table, int c, int i, double mean, double var, float gamma, float beta,
                                     float& to_mean, float& to_scale, float& to_shift) {
    const double inv_std = 1.0 / sqrt(var + static_cast<double>(EPS));
    const double scale = static_cast<double>(gamma) * inv_std;
    const double low = mean - static_cast<double>(static_cast<float>(mean));
    to_mean = static_cast<float>(mean);
    to_scale = static_cast<float>(scale);
    to_shift = static_cast<float>(static_cast<double>(beta) - low * scale);
    if (!table) return;
    table[i] = to_mean;
    table[c + i] = static_cast<float>(low);
    table[2 * c + i] = static_cast<float>(inv_std);
    table[3 * c + i] = to_scale;
    table[4 * c + i] = to_shift;
}

__device__ __forceinline__ float blend(float running, double batch, float momentum) {
    const double m = static_cast<double>(momentum);
    return static_cast<float>((1.0 - m) * static_cast<double>(running) + m * batch);
}

// Combines the chunks: mean and variance of the tile's channels and the coefficients from them. The block of the first
// chunk also writes `table` and updates the running statistics, with the unbiased variance.
template <int N>
__device__ __forceinline__ void statistics(const Block<N>& block, const Tile<N>& tile, const float* chunks,
                                           const float* gamma, const float* beta, float* running_mean,
                                           float* running_var, float* table, float momentum, size_t rows, int count,
                                           int rows_a_tile) {
    const int c = tile.c, own = tile.first_channel + block.thread % block.width, i = min(own, c - 1);
    const double n = static_cast<double>(rows);
    // A chunk's mean is pivot + sum / n, its squared deviation square - sum^2 / n (Chan, Golub, LeVeque 1983).
    const auto size = [&](int chunk) {
        return static_cast<double>(
            min(static_cast<size_t>(rows_a_tile), rows - static_cast<size_t>(chunk) * rows_a_tile));
    };
    const auto value = [&](int chunk, int what) {
        return static_cast<double>(chunks[(static_cast<size_t>(chunk) * 3 + what) * c + i]);
    };
    const double sum =
        block.combine(count, [&](int chunk) { return size(chunk) * value(chunk, 0) + value(chunk, 1); });
    // All threads of a channel need its mean.
    double* means = block.doubles + blockDim.x * blockDim.y - block.width;
    __syncthreads();
    if (block.thread < block.width) means[block.thread] = sum / n;
    __syncthreads();
    const double mean = means[block.thread % block.width];
    const double deviation = block.combine(count, [&](int chunk) {
        const double size_of_chunk = size(chunk), s = value(chunk, 1);
        const double within = value(chunk, 2) - s * s / size_of_chunk;
        const double distance = value(chunk, 0) + s / size_of_chunk - mean;
        // Rounding may make the deviation negative; NaN must stay NaN.
        return (within < 0.0 ? 0.0 : within) + size_of_chunk * distance * distance;
    });
    if (block.thread < block.width && own < c) {
        const bool first = tile.chunk == 0;
        float* k = block.coefficients + block.thread;
        fill(first ? table : nullptr, c, i, mean, deviation / n, gamma[i], beta[i], k[0], k[block.width],
             k[2 * block.width]);
        if (first) {
            running_mean[i] = blend(running_mean[i], mean, momentum);
            running_var[i] = blend(running_var[i], deviation / (n - 1.0), momentum);
        }
    }
    __syncthreads();
}

// y of a tile, from the coefficients of its channels in shared memory.
template <class T, int N>
__device__ __forceinline__ void normalise(const Block<N>& block, const Tile<N>& tile, const Kept<T, N>& kept,
                                          const T* x, const T* residual, T* y, int relu) {
    const Normaliser<N> normaliser(block, tile);
    struct Inputs {
        Pack<T, N> x, residual;
    };
    tile.template each<ROWS<T> / 2>(
        [&](size_t at, int row) {
            Inputs in;
            in.x = kept.has(row) ? kept.at(row) : load<N>(x + at);
            if (residual) in.residual = load<N>(residual + at);
            return in;
        },
        [&](size_t at, int, const Inputs& in) {
            Pack<T, N> out;
            for (int k = 0; k < N; ++k) {
                float value = normaliser(to_float(in.x.at[k]), k);
                if (residual) value += to_float(in.residual.at[k]);
                out.at[k] = from_float<T>(relu ? rectified(value) : value);
            }
            store<N>(y + at, out);
        });
}

template <class T, int N>
__device__ __forceinline__ void forward(const T* x, const float* gamma, const float* beta, float* running_mean,
                                        float* running_var, float* chunks, float* table, const T* residual, T* y,
                                        float momentum, int relu, int phases, int kept_rows, size_t rows, int c,
                                        int rows_a_tile) {
    extern __shared__ __align__(16) unsigned char shared[];
    const Block<N> block(shared);
    const Count count(rows, c, rows_a_tile, block.width);
    if (phases & SUMS) {
        for (int i = blockIdx.x, number = 0; i < count.tiles; i += gridDim.x, ++number) {
            const Tile<N> tile(i, rows, c, rows_a_tile);
            moments(block, tile, Kept<T, N>(block.kept, kept_rows, number), x, chunks);
        }
    }
    if (phases == BOTH) cooperative_groups::this_grid().sync();
    if (!(phases & APPLY)) return;
    for (int i = blockIdx.x, number = 0; i < count.tiles; i += gridDim.x, ++number) {
        const Tile<N> tile(i, rows, c, rows_a_tile);
        statistics(block, tile, chunks, gamma, beta, running_mean, running_var, table, momentum, rows, count.chunks,
                   rows_a_tile);
        normalise(block, tile, Kept<T, N>(block.kept, kept_rows, number), x, residual, y, relu);
    }
}

// As `forward`, with the running statistics.
template <class T, int N>
__device__ __forceinline__ void frozen(const T* x, const float* mean, const float* var, const float* gamma,
                                       const float* beta, float* table, const T* residual, T* y, int relu, size_t rows,
                                       int c, int rows_a_tile) {
    extern __shared__ __align__(16) unsigned char shared[];
    const Block<N> block(shared);
    const Count count(rows, c, rows_a_tile, block.width);
    for (int i = blockIdx.x; i < count.tiles; i += gridDim.x) {
        const Tile<N> tile(i, rows, c, rows_a_tile);
        const int own = tile.first_channel + block.thread;
        __syncthreads();
        if (block.thread < block.width && own < c) {
            float* k = block.coefficients + block.thread;
            fill(tile.chunk == 0 ? table : nullptr, c, own, static_cast<double>(mean[own]),
                 static_cast<double>(var[own]), gamma[own], beta[own], k[0], k[block.width], k[2 * block.width]);
        }
        __syncthreads();
        normalise(block, tile, Kept<T, N>(block.kept, 0, 0), x, residual, y, relu);
    }
}

// ---- Backward.

// Packs of the same place in several tensors; those that are not read have no content.
template <class T, int N> struct Packs {
    Pack<T, N> dy, x, y;
};

// The masked gradient of one pack.
template <class T, int N>
__device__ __forceinline__ void masked(float (&g)[N], const Packs<T, N>& in, int mask,
                                       const Normaliser<N>& normaliser) {
    for (int k = 0; k < N; ++k) g[k] = to_float(in.dy.at[k]);
    if (mask == OUTPUT) {
        for (int k = 0; k < N; ++k) g[k] = passed(g[k], to_float(in.y.at[k]));
    } else if (mask == RECOMPUTED) {
        for (int k = 0; k < N; ++k) g[k] = passed(g[k], normaliser(to_float(in.x.at[k]), k));
    }
}

// Copies the coefficients of the tile's channels from `table` to shared memory.
template <int N>
__device__ __forceinline__ void fetch(const Block<N>& block, const Tile<N>& tile, const float* table) {
    const int own = tile.first_channel + block.thread;
    __syncthreads();
    if (block.thread < block.width && own < tile.c) {
        float* k = block.coefficients + block.thread;
        k[0] = table[own];
        k[block.width] = table[3 * tile.c + own];
        k[2 * block.width] = table[4 * tile.c + own];
    }
    __syncthreads();
}

// Writes for a tile and each of its channels the sums of g and of g (x - mean). With `mask_dy`, dy is masked in place.
template <class T, int N>
__device__ __forceinline__ void gradient_sums(const Block<N>& block, const Tile<N>& tile, const Kept<T, N>& kept_x,
                                              const Kept<T, N>& kept_g, T* dy, const T* x, const T* y, float* chunks,
                                              int mask, int mask_dy) {
    const int c = tile.c;
    const Normaliser<N> normaliser(block, tile);
    float dbeta[N] = {}, dgamma[N] = {};
    tile.template each<ROWS<T> / 2>(
        [&](size_t at, int) {
            Packs<T, N> in;
            in.dy = load<N>(dy + at);
            in.x = load<N>(x + at);
            if (mask == OUTPUT) in.y = load<N>(y + at);
            return in;
        },
        [&](size_t at, int row, const Packs<T, N>& in) {
            float g[N];
            masked(g, in, mask, normaliser);
            Pack<T, N> exact;  // g is dy or 0
            for (int k = 0; k < N; ++k) {
                dbeta[k] += g[k];
                dgamma[k] += g[k] * (to_float(in.x.at[k]) - normaliser.mean.at[k]);
                exact.at[k] = from_float<T>(g[k]);
            }
            if (mask_dy) store<N>(dy + at, exact);
            if (kept_x.has(row)) {
                kept_x.at(row) = in.x;
                kept_g.at(row) = exact;
            }
        });
    float* out = chunks + static_cast<size_t>(tile.chunk) * 2 * c;
    for (int what = 0; what < 2; ++what) {
        block.sum(what == 0 ? dbeta : dgamma, [&](int channel, float total) {
            channel += tile.first_channel;
            if (channel < c) out[what * c + channel] = total;
        });
    }
}

// The place and the mode of the gradient of a parameter; null: it is not needed.
struct Sink {
    float* to;
    int add;

    __device__ __forceinline__ void give(int i, double value) const {
        if (to) to[i] = merged(add ? to[i] : 0.0f, static_cast<float>(value), add);
    }
};

// Combines the chunks: dgamma and dbeta, by the block of the first chunk, and the correction of dx by batch statistics,
// (x - mean) slope + offset, whose two rows go to shared memory.
template <int N>
__device__ __forceinline__ void parameters(const Block<N>& block, const Tile<N>& tile, const float* chunks,
                                           const float* table, Sink dgamma, Sink dbeta, size_t rows, int count) {
    const int c = tile.c, own = tile.first_channel + block.thread % block.width, i = min(own, c - 1);
    const auto value = [&](int chunk, int what) {
        return static_cast<double>(chunks[(static_cast<size_t>(chunk) * 2 + what) * c + i]);
    };
    const double sum = block.combine(count, [&](int chunk) { return value(chunk, 0); });
    const double sum_distance = block.combine(count, [&](int chunk) { return value(chunk, 1); });
    if (block.thread < block.width && own < c) {
        const double low = table[c + i], inv_std = table[2 * c + i], scale = table[3 * c + i];
        // Up to here the second sum is of g (x - mean) with the rounded mean.
        const double gamma_gradient = (sum_distance - low * sum) * inv_std;
        if (tile.chunk == 0) {
            dgamma.give(i, gamma_gradient);
            dbeta.give(i, sum);
        }
        const double by = -scale / static_cast<double>(rows), slope = by * gamma_gradient * inv_std;
        block.coefficients[3 * block.width + block.thread] = static_cast<float>(slope);
        block.coefficients[4 * block.width + block.thread] = static_cast<float>(by * sum - slope * low);
    }
    __syncthreads();
}

// dx = scale g + (x - mean) slope + offset of a tile, the last two terms only with batch statistics; without them x is
// read only for the mask RECOMPUTED. With `mask_dy`, dy is masked in place. dx may be null.
template <class T, int N>
__device__ __forceinline__ void input_gradient(const Block<N>& block, const Tile<N>& tile, const Kept<T, N>& kept_x,
                                               const Kept<T, N>& kept_g, T* dy, const T* x, const T* y, T* dx, int mask,
                                               int mask_dy, int batch) {
    const Normaliser<N> normaliser(block, tile);
    const bool reads_x = batch || mask == RECOMPUTED;
    Pack<float, N> slope = {}, offset = {};
    if (batch && tile.inside) {
        const float* k = block.coefficients + threadIdx.x * N;
        slope = load_floats<N>(k + 3 * block.width);
        offset = load_floats<N>(k + 4 * block.width);
    }
    tile.template each<ROWS<T> / 2>(
        [&](size_t at, int row) {
            Packs<T, N> in;
            if (kept_x.has(row)) {
                in.dy = kept_g.at(row);
                in.x = kept_x.at(row);
            } else {
                in.dy = load<N>(dy + at);
                if (reads_x) in.x = load<N>(x + at);
                if (mask == OUTPUT) in.y = load<N>(y + at);
            }
            return in;
        },
        [&](size_t at, int row, const Packs<T, N>& in) {
            float g[N];
            masked(g, in, kept_x.has(row) ? OFF : mask, normaliser);
            Pack<T, N> out;
            for (int k = 0; k < N; ++k) out.at[k] = from_float<T>(g[k]);
            if (mask_dy) store<N>(dy + at, out);
            if (!dx) return;
            for (int k = 0; k < N; ++k) {
                float value = normaliser.scale.at[k] * g[k];
                if (batch) value += (to_float(in.x.at[k]) - normaliser.mean.at[k]) * slope.at[k] + offset.at[k];
                out.at[k] = from_float<T>(value);
            }
            store<N>(dx + at, out);
        });
}

template <class T, int N>
__device__ __forceinline__ void backward(T* dy, const T* x, const T* y, const float* table, float* chunks, Sink dgamma,
                                         Sink dbeta, T* dx, int batch, int mask, int mask_dy, int phases,
                                         int kept_rows, size_t rows, int c, int rows_a_tile) {
    extern __shared__ __align__(16) unsigned char shared[];
    const Block<N> block(shared);
    const Count count(rows, c, rows_a_tile, block.width);
    // The kept rows of x come first, those of g for all tiles of the block behind them.
    const int tiles_a_block = (count.tiles + gridDim.x - 1) / gridDim.x;
    unsigned char* kept_g =
        block.kept + static_cast<size_t>(tiles_a_block) * kept_rows * blockDim.x * sizeof(Pack<T, N>);
    if (phases & SUMS) {
        for (int i = blockIdx.x, number = 0; i < count.tiles; i += gridDim.x, ++number) {
            const Tile<N> tile(i, rows, c, rows_a_tile);
            fetch(block, tile, table);
            gradient_sums(block, tile, Kept<T, N>(block.kept, kept_rows, number),
                          Kept<T, N>(kept_g, kept_rows, number), dy, x, y, chunks, mask, mask_dy);
        }
    }
    if (phases == BOTH) cooperative_groups::this_grid().sync();
    if (!(phases & APPLY)) return;
    if (chunks && mask_dy) mask = OFF, mask_dy = 0;  // done by the first phase
    for (int i = blockIdx.x, number = 0; i < count.tiles; i += gridDim.x, ++number) {
        const Tile<N> tile(i, rows, c, rows_a_tile);
        if (chunks) parameters(block, tile, chunks, table, dgamma, dbeta, rows, count.chunks);
        if (!dx && !mask_dy) continue;
        fetch(block, tile, table);
        input_gradient(block, tile, Kept<T, N>(block.kept, kept_rows, number), Kept<T, N>(kept_g, kept_rows, number),
                       dy, x, y, dx, mask, mask_dy, batch);
    }
}

}

// y [rows, C], the normalised x. y may be x; `residual` may be null. chunks [ceil(rows / rows_a_tile), 3, C]: the partial
// moments of x. `table` [5, C] is written, and the running statistics [C] are updated.
//
// Grid: any number of blocks, which share the tiles; cooperative if `phases` is 3. Block: x times y threads, a multiple
// of 32, with y a multiple of N, 4 if that divides C, else 1. Dynamic shared memory:
// 4 x (y (max(N, 2) + 1) + 5 N) bytes, and for each tile of a block `kept_rows` rows of x N elements.
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_forward_f32(
    const float* x, const float* gamma, const float* beta, float* running_mean, float* running_var, float* chunks,
    float* table, const float* NULLABLE residual, float* y, float momentum, int relu, int phases, int kept_rows,
    size_t rows, int c, int rows_a_tile) {
    BY_LANES(float, batchnorm::forward, x, gamma, beta, running_mean, running_var, chunks, table, residual, y, momentum,
             relu, phases, kept_rows, rows, c, rows_a_tile)
}
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_forward_bf16(
    const bf16* x, const float* gamma, const float* beta, float* running_mean, float* running_var, float* chunks,
    float* table, const bf16* NULLABLE residual, bf16* y, float momentum, int relu, int phases, int kept_rows,
    size_t rows, int c, int rows_a_tile) {
    BY_LANES(bf16, batchnorm::forward, x, gamma, beta, running_mean, running_var, chunks, table, residual, y, momentum,
             relu, phases, kept_rows, rows, c, rows_a_tile)
}

// y [rows, C] with the running statistics `mean` and `var` [C]; `table` is written. Grid and block: as
// batchnorm_forward, not cooperative, and nothing is kept.
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_frozen_f32(
    const float* x, const float* mean, const float* var, const float* gamma, const float* beta, float* table,
    const float* NULLABLE residual, float* y, int relu, size_t rows, int c, int rows_a_tile) {
    BY_LANES(float, batchnorm::frozen, x, mean, var, gamma, beta, table, residual, y, relu, rows, c, rows_a_tile)
}
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_frozen_bf16(
    const bf16* x, const float* mean, const float* var, const float* gamma, const float* beta, float* table,
    const bf16* NULLABLE residual, bf16* y, int relu, size_t rows, int c, int rows_a_tile) {
    BY_LANES(bf16, batchnorm::frozen, x, mean, var, gamma, beta, table, residual, y, relu, rows, c, rows_a_tile)
}

// dgamma and dbeta [C], each written or added, or skipped if null; dx [rows, C], skipped if null. dx may be x or dy.
// chunks [ceil(rows / rows_a_tile), 2, C]: the partial sums of dbeta and dgamma; null if neither they nor batch
// statistics are needed, and then `phases` is 2. `y` is read only with the mask OUTPUT, and x not at all with frozen
// statistics, no chunks and another mask than RECOMPUTED. Grid and block: as batchnorm_forward; shared memory: twice the
// kept rows.
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_backward_f32(
    float* dy, const float* NULLABLE x, const float* NULLABLE y, const float* table, float* NULLABLE chunks,
    float* NULLABLE dgamma, int add_dgamma, float* NULLABLE dbeta, int add_dbeta, float* NULLABLE dx, int batch,
    int mask, int mask_dy, int phases, int kept_rows, size_t rows, int c, int rows_a_tile) {
    const batchnorm::Sink to_gamma{dgamma, add_dgamma}, to_beta{dbeta, add_dbeta};
    BY_LANES(float, batchnorm::backward, dy, x, y, table, chunks, to_gamma, to_beta, dx, batch, mask, mask_dy, phases,
             kept_rows, rows, c, rows_a_tile)
}
extern "C" __global__ void __launch_bounds__(512, 1) batchnorm_backward_bf16(
    bf16* dy, const bf16* NULLABLE x, const bf16* NULLABLE y, const float* table, float* NULLABLE chunks,
    float* NULLABLE dgamma, int add_dgamma, float* NULLABLE dbeta, int add_dbeta, bf16* NULLABLE dx, int batch,
    int mask, int mask_dy, int phases, int kept_rows, size_t rows, int c, int rows_a_tile) {
    const batchnorm::Sink to_gamma{dgamma, add_dgamma}, to_beta{dbeta, add_dbeta};
    BY_LANES(bf16, batchnorm::backward, dy, x, y, table, chunks, to_gamma, to_beta, dx, batch, mask, mask_dy, phases,
             kept_rows, rows, c, rows_a_tile)
}

SOFTCUDA_KERNELS(batchnorm_forward_f32, batchnorm_forward_bf16, batchnorm_frozen_f32, batchnorm_frozen_bf16,
                 batchnorm_backward_f32, batchnorm_backward_bf16)
