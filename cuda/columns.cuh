// Loops and sums over the columns (channels) of a matrix [rows, C].
//
// A block is (x threads of channels) x (y threads of rows), at most MAX_COLUMN_THREADS in total and a multiple of 32. A
// thread has 16 bytes of channels if these divide C, else one channel, and loops over rows, so that the values of its
// channels stay in registers. Sums over rows are computed in chunks of rows, one chunk per block; a second kernel
// combines the few chunks in f64. The order of such a sum depends on the shape of the block and the rows of a chunk, so
// these must depend on the sizes alone.
#pragma once

#include "common.cuh"

constexpr int MAX_COLUMN_THREADS = 256;

// The channels of this thread, and the rows of its loop.
template <int N> struct Walk {
    int channel;
    size_t row, end, step;
    bool inside;

    // Loops over the rows of a chunk.
    __device__ __forceinline__ Walk(size_t rows, int c, int rows_a_chunk)
        : channel((blockIdx.x * blockDim.x + threadIdx.x) * N),
          row(static_cast<size_t>(blockIdx.y) * rows_a_chunk + threadIdx.y),
          end(min(rows, static_cast<size_t>(blockIdx.y + 1) * rows_a_chunk)), step(blockDim.y), inside(channel < c) {}
    // Loops over all rows, which the blocks of one column of the grid share.
    __device__ __forceinline__ Walk(size_t rows, int c)
        : channel((blockIdx.x * blockDim.x + threadIdx.x) * N),
          row(static_cast<size_t>(blockIdx.y) * blockDim.y + threadIdx.y), end(rows),
          step(static_cast<size_t>(gridDim.y) * blockDim.y), inside(channel < c) {}

    // For each row, in ascending order: use(at, load(at)), where `at` is the offset of the row's first channel of this
    // thread. The loads of ROWS rows are issued before the first use, so that the thread waits once for all of them.
    template <int ROWS, class Load, class Use> __device__ __forceinline__ void each(int c, Load load, Use use) const {
        if (!inside) return;
        size_t at = row;
        for (; at + (ROWS - 1) * step < end; at += ROWS * step) {
            decltype(load(at)) loaded[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; ++i) loaded[i] = load((at + i * step) * c + channel);
#pragma unroll
            for (int i = 0; i < ROWS; ++i) use((at + i * step) * c + channel, loaded[i]);
        }
        for (; at < end; at += step) use(at * c + channel, load(at * c + channel));
    }
};

// Calls f(channel, sum) for each channel of the block that is below c, each by one thread; `sum` is that of the column's
// threads, in the order of threadIdx.y. `scratch` has a place for N values of each thread, and is aligned to 16 bytes.
// Neighbouring threads sum neighbouring columns, so that they read different banks and f can store whole lines.
template <int N, class F>
__device__ __forceinline__ void sum_columns(const float (&own)[N], int c, float* scratch, F f) {
    const int width = blockDim.x * N, thread = threadIdx.y * blockDim.x + threadIdx.x;
    Pack<float, N> pack;
    for (int k = 0; k < N; ++k) pack.at[k] = own[k];
    __syncthreads();
    store_floats<N>(scratch + thread * N, pack);
    __syncthreads();
    for (int column = thread; column < width; column += blockDim.x * blockDim.y) {
        const int channel = blockIdx.x * width + column;
        if (channel >= c) return;
        float sum = 0.0f;
#pragma unroll 8
        for (int y = 0; y < blockDim.y; ++y) sum += scratch[y * width + column];
        f(channel, sum);
    }
}

// All threads of a column receive the sum of a value over the column.
__device__ __forceinline__ double column_sum(double value, double* scratch) {
    __syncthreads();
    scratch[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    double sum = 0.0;
    for (int y = 0; y < blockDim.y; ++y) sum += scratch[y * blockDim.x + threadIdx.x];
    return sum;
}

// Calls a template with packs of 16 bytes if these divide the channels `c`, else with single elements.
#define BY_WIDTH(T, function, ...) \
    if (c % PACK<T> == 0) { \
        function<T, PACK<T>>(__VA_ARGS__); \
    } else { \
        function<T, 1>(__VA_ARGS__); \
    }
