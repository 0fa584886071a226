// Sums over the features of two images, for all pairs of a batch x [m, d]: squared distances and inner products, shared
// by the losses on pairs.
//
// A block computes a tile of 16 x 16 pairs over a part of the features, in chunks of 64 features of 16 + 16 images in
// shared memory. cuda/batch_contrastive.cu has the reasons, the number of parts (`splits`) and the bytes.
#pragma once

#include "common.cuh"

namespace pairs {

constexpr int TILE = 16, CHUNK = 64, THREADS = TILE * TILE;
static_assert(THREADS == TILE * CHUNK / 4, "one pack a thread and piece");

// CHUNK features of TILE images. The 4 columns of padding put the packs of 8 neighbouring images in different banks.
struct Piece {
    alignas(16) float at[TILE][CHUNK + 4];
};

// Loads this thread's 4 features from `from` on of its image of the tile; 0 outside of the matrix.
__device__ __forceinline__ Pack<float, 4> fetch(const float* __restrict__ x, int first, int from, int m, int d) {
    return load_or_zero(x, first + threadIdx.x / (CHUNK / 4), from + threadIdx.x % (CHUNK / 4) * 4, m, d);
}

__device__ __forceinline__ void put(Piece& piece, const Pack<float, 4>& pack) {
    store<4>(&piece.at[threadIdx.x / (CHUNK / 4)][threadIdx.x % (CHUNK / 4) * 4], pack);
}

struct SquaredDifference {
    __device__ __forceinline__ float operator()(float a, float b) const {
        const float difference = a - b;
        return difference * difference;
    }
};
struct Product {
    __device__ __forceinline__ float operator()(float a, float b) const { return a * b; }
};

// Computes one tile of a symmetric matrix: the sums of `Term` over one part of the features of two images. partial
// [splits, m, m] of x [m, d]. Grid: (T / 2 + 1, T, splits) with T = ceil(m / 16). Block: 256.
template <class Term>
__device__ __forceinline__ void tile(const float* __restrict__ x, float* __restrict__ partial, int m, int d) {
    __shared__ Piece row_piece, column_piece;
    // Each tile row is paired with itself and the half of the rows that follow cyclically, so that every two rows are
    // paired once. With an even number, opposite rows would be paired twice: one of the two blocks returns.
    const int tiles = gridDim.y, row_tile = blockIdx.y, column_tile = (row_tile + blockIdx.x) % tiles;
    if (2 * static_cast<int>(blockIdx.x) == tiles && column_tile < row_tile) return;
    const int row = threadIdx.x / TILE, column = threadIdx.x % TILE;
    const int chunks = (d + CHUNK - 1) / CHUNK;
    const int begin = blockIdx.z * chunks / gridDim.z, end = (blockIdx.z + 1) * chunks / gridDim.z;
    Pack<float, 4> row_next = fetch(x, row_tile * TILE, begin * CHUNK, m, d);
    Pack<float, 4> column_next = fetch(x, column_tile * TILE, begin * CHUNK, m, d);
    float sum = 0.0f;
    for (int chunk = begin; chunk < end; ++chunk) {
        __syncthreads();  // all threads have read the previous pieces
        put(row_piece, row_next);
        put(column_piece, column_next);
        __syncthreads();  // both pieces are complete
        if (chunk + 1 < end) {
            row_next = fetch(x, row_tile * TILE, (chunk + 1) * CHUNK, m, d);
            column_next = fetch(x, column_tile * TILE, (chunk + 1) * CHUNK, m, d);
        }
        // One sum for each piece and each element of a pack: long sums of small terms are inaccurate.
        Pack<float, 4> sums = {};
        const int width = min(CHUNK, d - chunk * CHUNK);
#pragma unroll 4
        for (int k = 0; k < width; k += 4) {
            const auto a = load<4>(&row_piece.at[row][k]), b = load<4>(&column_piece.at[column][k]);
            for (int l = 0; l < 4; ++l) sums.at[l] += Term()(a.at[l], b.at[l]);
        }
        sum += (sums.at[0] + sums.at[1]) + (sums.at[2] + sums.at[3]);
    }
    const size_t i = row_tile * TILE + row, j = column_tile * TILE + column;
    if (i >= m || j >= m) return;
    float* matrix = partial + static_cast<size_t>(blockIdx.z) * m * m;
    matrix[i * m + j] = sum;
    // In a diagonal tile another thread writes the mirrored element, with the same bits.
    if (column_tile != row_tile) matrix[j * m + i] = sum;
}

// The entry (i, j) of the matrix whose parts are partial [splits, m, m].
__device__ __forceinline__ float total(const float* __restrict__ partial, int splits, int m, size_t i, size_t j) {
    float sum = 0.0f;
#pragma unroll 8
    for (size_t split = 0; split < splits; ++split) sum += partial[(split * m + i) * m + j];
    return sum;
}

}
