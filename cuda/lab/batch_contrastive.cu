// The pair distances of the batch-contrastive loss: versions from a naive kernel to the one in use.
//
// Each version takes x [m, n], m images of n features, and writes distances [m, m], the squared Euclidean distances of
// all pairs; the kernel in use writes partial sums of the distances. The indented lines are claims; README.md in this
// folder explains their notation, and a test evaluates them.
//
// Unlike the other two kernels, this one has many more sums to compute than numbers to load: each row is needed m
// times. The versions reduce the loads of a row from m to m / 16, and then use many multiprocessors instead of one.
//
// The last version is included from ../batch_contrastive.cu, the kernel in use.
#include "../batch_contrastive.cu"

// ---- 1. A thread a pair. --------------------------------------------------------------------------------------------
//
// A thread loops over its two rows. In a warp, 16 neighbouring threads have 16 different j, whose features lie in 16
// lines: with the two lines of its two i a warp requests 18 lines from L1 for 18 numbers. Loaded lines are shared only
// between threads of a block that happen to read the same position.
//
//   kernel      batch_contrastive_v1_thread_a_pair(x, distances, m, n)
//   grid        ceil(m / 16) x ceil(m / 16)
//   block       16 x 16
//   read        8 m m n
//   written     4 m m
//   barriers    0
//   warp        0
//   operations  m m n subtractions and multiply-adds
//   memory      4 m n + 4 m m
//   time        max(memory / B, 9 m m n / (16 Q), 2 m m n / I, ceil(m m / R) L n / 16)
//   predicted   4628 us at 1024 x 2048, 16.6 us at 16 x 2048
//
// In `time`: 16 numbers of each row are in flight, two sectors.
//
// In the next version neighbouring threads load adjacent numbers.
extern "C" __global__ void batch_contrastive_v1_thread_a_pair(const float* __restrict__ x,
                                                              float* __restrict__ distances, int m, int n) {
    const int i = blockIdx.y * blockDim.y + threadIdx.y, j = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= m || j >= m) return;
    const float *a = x + static_cast<size_t>(i) * n, *b = x + static_cast<size_t>(j) * n;
    float distance = 0.0f;
    for (int k = 0; k < n; ++k) distance += (a[k] - b[k]) * (a[k] - b[k]);
    distances[static_cast<size_t>(i) * m + j] = distance;
}

// ---- 2. A warp a pair. ----------------------------------------------------------------------------------------------
//
// The lanes of a warp share a pair: each loads 16 bytes of both rows at once, and five shuffles add the partial sums.
// Every line is used completely, and a batch of 16 has 256 warps. But each row is still loaded m times, and with many
// images these bytes come from the L2 cache, which limits the speed.
//
//   kernel      batch_contrastive_v2_warp_a_pair(x, distances, m, n)
//   grid        ceil(m m / w)
//   block       256
//   read        8 m m n
//   written     4 m m
//   barriers    0
//   warp        5 m m
//   operations  m m n subtractions and multiply-adds, 160 m m additions after the shuffles
//   memory      4 m n + 4 m m
//   time        max(memory / B, 4 m m n / G, m m n / (16 Q), 2 m m n / I, ceil(32 m m / R) (L ceil(n / 512) + 6 S))
//   predicted   1562 us at 1024 x 2048, 0.61 us at 16 x 2048
//
// In `time`: the eight warps of a block have the same i, which stays in L1, and different j; four packs of 16 bytes per
// lane are in flight.
//
// The next version loads a row once for 16 partners.
extern "C" __global__ void batch_contrastive_v2_warp_a_pair(const float* __restrict__ x,
                                                            float* __restrict__ distances, int m, int n) {
    const size_t pair = thread_of_grid() / LANES;
    if (pair >= static_cast<size_t>(m) * m) return;  // a whole warp
    const float *a = x + pair / m * n, *b = x + pair % m * n;
    const float own = n % 4 == 0 ? batch_contrastive::squared_distance<4>(a, b, n)
                                 : batch_contrastive::squared_distance<1>(a, b, n);
    const float distance = warp_reduce<Sum>(own);
    if (threadIdx.x % LANES == 0) distances[pair] = distance;
}

// ---- 3. Tiles. ------------------------------------------------------------------------------------------------------
//
// A block computes 16 x 16 distances. It loads 64 features of its 16 + 16 images to shared memory, where each number is
// used 16 times. The bytes from the L2 cache fall to an eighth.
//
// But a batch of 16 is one tile: one block on one multiprocessor, which waits for each chunk of its 2,048 features,
// while the other 131 multiprocessors are idle. This version is faster for 1,024 images and slower for 16.
//
//   kernel      batch_contrastive_v3_tiles(x, distances, m, n)
//   grid        ceil(m / 16) x ceil(m / 16)
//   block       16 x 16
//   where       T = ceil(m / 16); K = ceil(n / 64)
//   read        8 T m n
//   written     4 m m
//   barriers    2 T T K
//   warp        0
//   operations  m m n subtractions and multiply-adds
//   memory      4 m n + 4 m m
//   time        max(memory / B, 8 T m n / G, 6 T T n / Q, 2 m m n / I, ceil(256 T T / R) K (L + 4 S + 50688 / Q))
//   predicted   195 us at 1024 x 2048, 12.3 us at 16 x 2048
//
// In `time`: for 4 features of 32 pairs a warp reads 3 lines from shared memory, one for its two rows and two for its
// 16 columns; a piece is 384 such accesses of one of 132 multiprocessors, hence 50688. Two barriers and the store and
// load of a pack in shared memory are added.
//
// The next version splits the features.
extern "C" __global__ void batch_contrastive_v3_tiles(const float* __restrict__ x, float* __restrict__ distances, int m,
                                                      int n) {
    using namespace pairs;
    __shared__ Piece row_piece, column_piece;
    const int row = threadIdx.y, column = threadIdx.x, thread = row * TILE + column;
    // The image and the first of the 4 features of a piece that this thread loads.
    const int image = thread / (CHUNK / 4), feature = thread % (CHUNK / 4) * 4;
    const auto bring = [&](Piece& piece, int tile, int from) {
        const int i = tile * TILE + image;
        for (int k = 0; k < 4; ++k) {
            const int at = from + feature + k;
            piece.at[image][feature + k] = i < m && at < n ? x[static_cast<size_t>(i) * n + at] : 0.0f;
        }
    };
    // ANCHOR: tiles
    float distance = 0.0f;
    for (int from = 0; from < n; from += CHUNK) {
        __syncthreads();  // all threads have read the previous pieces
        bring(row_piece, blockIdx.y, from);
        bring(column_piece, blockIdx.x, from);
        __syncthreads();  // both pieces are complete
#pragma unroll
        for (int k = 0; k < CHUNK; k += 4) {
            const auto a = load<4>(&row_piece.at[row][k]), b = load<4>(&column_piece.at[column][k]);
            for (int l = 0; l < 4; ++l) distance += (a.at[l] - b.at[l]) * (a.at[l] - b.at[l]);
        }
    }
    // ANCHOR_END: tiles
    const int i = blockIdx.y * TILE + row, j = blockIdx.x * TILE + column;
    if (i < m && j < m) distances[static_cast<size_t>(i) * m + j] = distance;
}

// ---- 4. In use: split features, half of the tiles, prefetch of the next piece.
// ---------------------------------------
//
// The third dimension of the grid is the part of the features: a batch of 16 with 2,048 features is 32 blocks of one
// piece each, which all wait at the same time. Each part writes its own matrix, and the next kernel adds the matrices
// in a fixed order: additions to one address by several blocks would have no fixed order. The number of parts depends
// on m and n alone, otherwise the last bits would depend on the chip.
//
// A tile and its mirror image are computed once, and the next piece is loaded while one is processed. For many images
// the L2 cache and shared memory are equal limits. For 16 images version 2 is nearly as fast by these figures: there
// the launch dominates, and tiles help larger batches.
//
//   kernel      batch_contrastive_distances(x, partial, m, n)
//   grid        floor(T / 2) + 1 x T x s
//   block       256 x 1
//   where       T = ceil(m / 16); K = ceil(n / 64); s = min(K, ceil(1024 / (T (T + 1))))
//   read        4 (T + 1) m n
//   written     4 s m m
//   barriers    T (T + 1) K
//   warp        0
//   operations  m m n / 2 subtractions and multiply-adds
//   memory      4 m n + 4 s m m
//   time        max(memory / B, 4 (T + 1) m n / G, 3 T (T + 1) n / Q, m m n / I, L + ceil(K / s) (4 S + 50688 / Q))
//   predicted   99.1 us at 1024 x 2048, 0.384 us at 16 x 2048

SOFTCUDA_KERNELS(batch_contrastive_v1_thread_a_pair, batch_contrastive_v2_warp_a_pair, batch_contrastive_v3_tiles)
