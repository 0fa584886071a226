// Tiles of a matrix [rows, C], and kernels of two phases over them: those of batchnorm.cu. src/device/cuda/tiles.rs
// chooses the tiles and launches the kernels.
//
// A tile has a few channels and many rows. The phase SUMS adds up each tile, APPLY combines the sums of a column of
// tiles and writes the result. A cooperative launch does both with a barrier of the grid in between, and keeps as many
// rows of a tile as fit in shared memory, so that they are read once. Two launches, one a phase, give the same bits.
//
// The order of additions depends on the tiles and the shape of a block, so these must depend on the sizes alone. Which
// block computes a tile, and how many rows it keeps, changes no bit.
#pragma once

#include "common.cuh"

namespace tiles {

// The phases of a launch, one or both.
enum Phase : int { SUMS = 1, APPLY = 2, BOTH = 3 };

// The rows that a thread loads ahead: together 64 bytes, if it has four channels. A loop over several arrays loads half
// as many.
template <class T> constexpr int ROWS = 16 / sizeof(T);

// A block of x times y threads has N channels in each of its x columns of threads. The dynamic shared memory of a
// block: scratch for sums, the coefficients of its channels, and the kept rows.
template <int N> struct Block {
    static constexpr int COEFFICIENTS = 5;
    int thread, width, parts;
    float *thread_sums, *partial, *coefficients;
    double* doubles;
    unsigned char* kept;

    __device__ __forceinline__ Block(unsigned char* shared)
        : thread(threadIdx.y * blockDim.x + threadIdx.x), width(blockDim.x * N), parts(blockDim.y / N) {
        const int threads = blockDim.x * blockDim.y;
        thread_sums = reinterpret_cast<float*>(shared);
        doubles = reinterpret_cast<double*>(shared);
        partial = thread_sums + threads * (N > 2 ? N : 2);
        coefficients = partial + threads;
        kept = reinterpret_cast<unsigned char*>(coefficients + COEFFICIENTS * width);
    }

    // Calls f(channel of the block, sum) for each channel, by one thread each, with the sum over the threads of its
    // column. First the threads share the rows of `thread_sums`, then a few partial sums are left.
    template <class F> __device__ __forceinline__ void sum(const float (&own)[N], F f) const {
        Pack<float, N> pack;
        for (int k = 0; k < N; ++k) pack.at[k] = own[k];
        __syncthreads();
        store_floats<N>(thread_sums + thread * N, pack);
        __syncthreads();
        float part = 0.0f;
        for (int y = thread / width; y < blockDim.y; y += parts) part += thread_sums[y * width + thread % width];
        partial[thread] = part;
        __syncthreads();
        if (thread >= width) return;
        float total = 0.0f;
        for (int p = 0; p < parts; ++p) total += partial[p * width + thread];
        f(thread, total);
    }

    // The sum of value(i) over 0..count for the channel `thread % width`, in f64. Only the threads below `width`
    // receive it.
    template <class Value> __device__ __forceinline__ double combine(int count, Value value) const {
        double part = 0.0;
#pragma unroll 2
        for (int i = thread / width; i < count; i += parts) part += value(i);
        __syncthreads();
        doubles[thread] = part;
        __syncthreads();
        double total = 0.0;
        if (thread < width) {
            for (int p = 0; p < parts; ++p) total += doubles[p * width + thread];
        }
        return total;
    }
};

// A tile of [rows, C], and this thread's channels in it.
template <int N> struct Tile {
    int first_channel, channel, chunk, height, c;
    size_t first_row;
    bool inside;

    __device__ __forceinline__ Tile(int tile, size_t rows, int c, int rows_a_tile) : c(c) {
        const int width = blockDim.x * N, columns = (c + width - 1) / width;
        chunk = tile / columns;
        first_channel = tile % columns * width;
        channel = first_channel + threadIdx.x * N;
        first_row = static_cast<size_t>(chunk) * rows_a_tile;
        height = static_cast<int>(min(static_cast<size_t>(rows_a_tile), rows - first_row));
        inside = channel < c;
    }

    // For each row of this thread, in ascending order: use(at, row, load(at, row)), where `row` counts from the tile's
    // first one and `at` is the offset of this thread's first channel. The loads of ROWS rows are issued before the
    // first use, so that the thread waits once for all of them.
    template <int ROWS, class Load, class Use> __device__ __forceinline__ void each(Load load, Use use) const {
        if (!inside) return;
        const int step = blockDim.y;
        const auto at = [&](int row) { return (first_row + row) * c + channel; };
        int row = threadIdx.y;
        // No more rows at once than ROWS: registers limit the threads of a multiprocessor.
#pragma unroll 1
        for (; row + (ROWS - 1) * step < height; row += ROWS * step) {
            decltype(load(at(row), row)) loaded[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; ++i) loaded[i] = load(at(row + i * step), row + i * step);
#pragma unroll
            for (int i = 0; i < ROWS; ++i) use(at(row + i * step), row + i * step, loaded[i]);
        }
#pragma unroll 1
        for (; row < height; row += step) use(at(row), row, load(at(row), row));
    }
};

// The number of tiles, and of the chunks of rows among them.
struct Count {
    int chunks, tiles;

    __device__ __forceinline__ Count(size_t rows, int c, int rows_a_tile, int width)
        : chunks(static_cast<int>((rows + rows_a_tile - 1) / rows_a_tile)), tiles(chunks * ((c + width - 1) / width)) {}
};

// The first `rows` rows of a tile in shared memory. A thread reads what it has written itself, so no barrier is needed.
// `number` counts the tiles of this block.
template <class T, int N> struct Kept {
    Pack<T, N>* packs;
    int rows;

    __device__ __forceinline__ Kept(unsigned char* shared, int rows, int number)
        : packs(reinterpret_cast<Pack<T, N>*>(shared) + static_cast<size_t>(number) * rows * blockDim.x), rows(rows) {}
    __device__ __forceinline__ bool has(int row) const { return row < rows; }
    __device__ __forceinline__ Pack<T, N>& at(int row) const { return packs[row * blockDim.x + threadIdx.x]; }
};

}

// Calls a template with four channels a thread if that divides the channels `c`, else with one.
#define BY_LANES(T, function, ...) \
    if (c % 4 == 0) { \
        function<T, 4>(__VA_ARGS__); \
    } else { \
        function<T, 1>(__VA_ARGS__); \
    }
