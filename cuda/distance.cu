// Squared Euclidean distances of queries to a part of the gallery: the kernels of src/eval/distance.rs.
//
// ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g, clamped at 0 if rounding makes it negative. The rounding error of the
// product form is proportional to the lengths: a common offset of all rows is subtracted first
// (distance_squared_lengths), and distances close to 0 are recomputed from differences (distance_close). Equal gallery
// rows get exactly equal distances, otherwise rounding would rank ties: the order of every product, length and sum of
// differences depends on the number of features alone, never on the position of a row.
//
// distance_tile is a matrix product: a block of 256 threads computes 64 x 64 distances, 4 x 4 per thread, in chunks of
// 16 features of both sides in shared memory. The next chunk is loaded to registers while one is multiplied; with two
// alternating buffers one barrier per chunk suffices.
//
// Operations: 2 Q G D. Bytes: 4 (Q + G) D + 4 Q G, and Q G D / 8 from the L2 cache, because each row is read once for
// every 64 rows of the other side; distance_close reads 4 Q G more. For each feature a warp does 16 multiply-adds (4
// cycles of a multiprocessor of 128 lanes) and reads 3 lines of 128 bytes from shared memory (3 cycles): the
// multiply-adds are the limit, though by little.
#include "common.cuh"

namespace distance {

constexpr int TILE = 64, EACH = 4, CHUNK = 16, THREADS = 256;
// The fraction of ||q||^2 + ||g||^2 below which a distance is computed from differences, as in src/eval/distance.rs.
constexpr float CLOSE = 1.0f / 1024.0f;
// The distances of a query that a warp of distance_close checks.
constexpr int STRIP = 256;
static_assert(THREADS == TILE / EACH * (TILE / EACH) && THREADS == TILE * CHUNK / 4, "one pack a thread and piece");

// CHUNK features of TILE rows, transposed, so that a thread's EACH rows are adjacent. With the 4 columns of padding
// only two writers of a warp share a bank, not four.
struct Piece {
    alignas(16) float at[CHUNK][TILE + 4];
};

// Loads this thread's 4 features from `from` on of its row of the tile; 0 outside of the matrix.
__device__ __forceinline__ Pack<float, 4> fetch(const float* __restrict__ rows, int count, int first, int from, int d) {
    return load_or_zero(rows, first + threadIdx.x / 4, from + threadIdx.x % 4 * 4, count, d);
}

__device__ __forceinline__ void put(Piece& piece, const Pack<float, 4>& pack) {
    for (int k = 0; k < 4; ++k) piece.at[threadIdx.x % 4 * 4 + k][threadIdx.x / 4] = pack.at[k];
}

// Computes one tile of distances; see the kernel.
__device__ __forceinline__ void tile(const float* __restrict__ q, const float* __restrict__ g,
                                     const float* __restrict__ q_squared, const float* __restrict__ g_squared,
                                     float* __restrict__ distances, int queries, int galleries, int d, size_t stride) {
    __shared__ Piece q_pieces[2], g_pieces[2];
    const int first_query = blockIdx.y * TILE, first_gallery = blockIdx.x * TILE;
    const int row = threadIdx.x / (TILE / EACH) * EACH, column = threadIdx.x % (TILE / EACH) * EACH;
    float product[EACH][EACH] = {};
    Pack<float, 4> q_next = fetch(q, queries, first_query, 0, d), g_next = fetch(g, galleries, first_gallery, 0, d);
    for (int from = 0; from < d; from += CHUNK) {
        // The buffers of two chunks ago: after the barrier of the last chunk no thread reads them any more.
        Piece& q_piece = q_pieces[from / CHUNK % 2];
        Piece& g_piece = g_pieces[from / CHUNK % 2];
        put(q_piece, q_next);
        put(g_piece, g_next);
        __syncthreads();
        if (from + CHUNK < d) {
            q_next = fetch(q, queries, first_query, from + CHUNK, d);
            g_next = fetch(g, galleries, first_gallery, from + CHUNK, d);
        }
#pragma unroll
        for (int k = 0; k < CHUNK; ++k) {
            const auto a = load<EACH>(&q_piece.at[k][row]), b = load<EACH>(&g_piece.at[k][column]);
            for (int i = 0; i < EACH; ++i) {
                for (int j = 0; j < EACH; ++j) product[i][j] = fmaf(a.at[i], b.at[j], product[i][j]);
            }
        }
    }
    const int gallery = first_gallery + column;
    for (int i = 0; i < EACH; ++i) {
        const int query = first_query + row + i;
        if (query >= queries) return;
        Pack<float, EACH> pack;
        for (int j = 0; j < EACH; ++j) {
            const float g2 = g_squared[min(gallery + j, galleries - 1)];
            const float squared = q_squared[query] + g2 - 2.0f * product[i][j];
            pack.at[j] = squared < 0.0f ? 0.0f : squared;  // NaN stays NaN
        }
        float* to = distances + query * stride + gallery;
        if (gallery + EACH <= galleries && reinterpret_cast<uintptr_t>(to) % sizeof(pack) == 0) {
            store<EACH>(to, pack);
        } else {
            for (int j = 0; j < EACH; ++j) {
                if (gallery + j < galleries) to[j] = pack.at[j];
            }
        }
    }
}

}

// x [rows, d] -= offset [d], unless `offset` is null; squared [rows]: the squared lengths of the result. A warp
// computes a row. Grid: a warp or more for each row.
extern "C" __global__ void distance_squared_lengths(float* __restrict__ x, const float* __restrict__ NULLABLE offset,
                                                    float* __restrict__ squared, int rows, int d) {
    const int lane = threadIdx.x % LANES;
    const size_t row = thread_of_grid() / LANES;
    if (row >= rows) return;
    float own = 0.0f;
    if (offset != nullptr) {
        for (int i = lane; i < d; i += LANES) {
            const float value = x[row * d + i] - offset[i];
            x[row * d + i] = value;
            own = fmaf(value, value, own);
        }
    } else if (d % 4 == 0) {
#pragma unroll 4
        for (int i = lane * 4; i < d; i += LANES * 4) {
            const auto pack = load<4>(x + row * d + i);
            for (const float value : pack.at) own = fmaf(value, value, own);
        }
    } else {
#pragma unroll 4
        for (int i = lane; i < d; i += LANES) own = fmaf(x[row * d + i], x[row * d + i], own);
    }
    own = warp_reduce<Sum>(own);
    if (lane == 0) squared[row] = own;
}

// distances [queries, galleries], with rows `stride` elements apart, between q [queries, d] and g [galleries, d], from
// their squared lengths and products; NaN if a feature is NaN. Grid: (galleries / 64, queries / 64) blocks, rounded up.
// Block: 256.
extern "C" __global__ void __launch_bounds__(distance::THREADS)
    distance_tile(const float* __restrict__ q, const float* __restrict__ g, const float* __restrict__ q_squared,
                  const float* __restrict__ g_squared, float* __restrict__ distances, int queries, int galleries, int d,
                  size_t stride) {
    distance::tile(q, g, q_squared, g_squared, distances, queries, galleries, d, stride);
}

// Recomputes ||q - g||^2 from differences for each distance below CLOSE times the squared lengths; such pairs are few.
// A warp checks 256 distances of a query, and its lanes sum each close one together. Grid: (galleries / 2048, queries)
// blocks, rounded up. Block: 256.
extern "C" __global__ void distance_close(const float* __restrict__ q, const float* __restrict__ g,
                                          const float* __restrict__ q_squared, const float* __restrict__ g_squared,
                                          float* __restrict__ distances, int galleries, int d, size_t stride) {
    const int lane = threadIdx.x % LANES, first = static_cast<int>(thread_of_grid() / LANES) * distance::STRIP;
    if (first >= galleries) return;
    const float* from = q + static_cast<size_t>(blockIdx.y) * d;
    const float* others = g + static_cast<size_t>(first) * d;
    float* row = distances + blockIdx.y * stride + first;
    const float q2 = q_squared[blockIdx.y];
    const auto is_close = [&](int j) {
        return row[j] < distance::CLOSE * (q2 + g_squared[first + j]) ? 1.0f : 0.0f;  // NaN stays NaN
    };
    for_each_nonzero(min(distance::STRIP, galleries - first), is_close, [&](int j, float) {
        const float* to = others + static_cast<size_t>(j) * d;
        float own = 0.0f;
        for (int i = lane; i < d; i += LANES) {
            const float difference = from[i] - to[i];
            own = fmaf(difference, difference, own);
        }
        own = warp_reduce<Sum>(own);
        if (lane == j % LANES) row[j] = own;  // the lane that read it
    });
}

SOFTCUDA_KERNELS(distance_squared_lengths, distance_tile, distance_close)
