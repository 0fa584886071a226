// Loops and sums over the columns (channels) of a matrix [rows, C], shared by the kernels of batch normalisation and
// biases.
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

    template <class F> __device__ __forceinline__ void each(int c, F f) const {
        if (!inside) return;
        for (size_t at = row; at < end; at += step) f(at * c + channel);
    }
};

// The first thread of each column receives the sum over the column's threads, in the order of threadIdx.y.
template <int N> __device__ __forceinline__ void sum_columns(float (&own)[N], float* scratch) {
    const int width = blockDim.x * N;
    __syncthreads();
    for (int k = 0; k < N; ++k) scratch[threadIdx.y * width + threadIdx.x * N + k] = own[k];
    __syncthreads();
    if (threadIdx.y > 0) return;
    for (int k = 0; k < N; ++k) {
        float sum = 0.0f;
        for (int y = 0; y < blockDim.y; ++y) sum += scratch[y * width + threadIdx.x * N + k];
        own[k] = sum;
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
