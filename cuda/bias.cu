// The bias of a convolution or a fully connected layer, one number per channel: the kernels of src/ops/bias.rs.
// NVIDIA's libraries compute the products.
//
//   y[r, c] += b[c];   db[c] = sum over r of dy[r, c]
//
// y is [rows, C], with all dimensions but the last merged, from the 16 rows of a classifier to the 131,072 of a first
// convolution. columns.cuh describes the blocks and the sums over rows. Parameters and their gradients are f32.
//
// Bytes, with e bytes per element: forward 2 e R C; backward e R C. Both are bound by memory.
#include "columns.cuh"

namespace bias {

template <class T, int N> __device__ __forceinline__ void forward(T* y, const float* __restrict__ b, size_t rows,
                                                                  int c) {
    const Walk<N> walk(rows, c);
    Pack<float, N> own = {};
    if (walk.inside) own = load_floats<N>(b + walk.channel);
    walk.template each<4>(
        c, [&](size_t at) { return load<N>(y + at); },
        [&](size_t at, Pack<T, N> pack) {
            for (int k = 0; k < N; ++k) pack.at[k] = from_float<T>(to_float(pack.at[k]) + own.at[k]);
            store<N>(y + at, pack);
        });
}

// Computes for each chunk and channel the sum of dy.
template <class T, int N>
__device__ __forceinline__ void gradient_sums(const T* __restrict__ dy, float* __restrict__ chunks, size_t rows, int c,
                                              int rows_a_chunk) {
    alignas(16) __shared__ float scratch[MAX_COLUMN_THREADS * N];
    const Walk<N> walk(rows, c, rows_a_chunk);
    float own[N] = {};
    walk.template each<4>(
        c, [&](size_t at) { return load<N>(dy + at); },
        [&](size_t, const Pack<T, N>& pack) {
            for (int k = 0; k < N; ++k) own[k] += to_float(pack.at[k]);
        });
    float* out = chunks + static_cast<size_t>(blockIdx.y) * c;
    sum_columns(own, c, scratch, [&](int channel, float sum) { out[channel] = sum; });
}

}

// y [rows, C] += b [C]; bf16 sums in f32 and rounds once. Grid: (blocks of channels) x (any number of blocks of rows).
extern "C" __global__ void bias_forward_f32(float* y, const float* b, size_t rows, int c) {
    BY_WIDTH(float, bias::forward, y, b, rows, c)
}
extern "C" __global__ void bias_forward_bf16(bf16* y, const float* b, size_t rows, int c) {
    BY_WIDTH(bf16, bias::forward, y, b, rows, c)
}

// chunks [ceil(rows / rows_a_chunk), C] of dy [rows, C]. Grid: (blocks of channels) x (chunks).
extern "C" __global__ void bias_gradient_sums_f32(const float* dy, float* chunks, size_t rows, int c,
                                                  int rows_a_chunk) {
    BY_WIDTH(float, bias::gradient_sums, dy, chunks, rows, c, rows_a_chunk)
}
extern "C" __global__ void bias_gradient_sums_bf16(const bf16* dy, float* chunks, size_t rows, int c,
                                                   int rows_a_chunk) {
    BY_WIDTH(bf16, bias::gradient_sums, dy, chunks, rows, c, rows_a_chunk)
}

// db [C], written or added: the sums of chunks [count, C]. Grid: (blocks of channels), one channel per column of
// threads, whose threads share the chunks.
extern "C" __global__ void bias_gradient(const float* chunks, float* db, int accumulate, int c, int count) {
    __shared__ double scratch[MAX_COLUMN_THREADS];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const bool inside = i < c;
    double own = 0.0;
    for (int chunk = threadIdx.y; inside && chunk < count; chunk += blockDim.y)
        own += static_cast<double>(chunks[static_cast<size_t>(chunk) * c + i]);
    const double sum = column_sum(own, scratch);
    if (inside && threadIdx.y == 0) db[i] = merged(accumulate ? db[i] : 0.0f, static_cast<float>(sum), accumulate);
}

SOFTCUDA_KERNELS(bias_forward_f32, bias_forward_bf16, bias_gradient_sums_f32, bias_gradient_sums_bf16, bias_gradient)
