// The pair distances of the batch-contrastive loss: the way from a naive kernel to the one in use.
//
// Each version takes x [m, n], m images of n features, and writes distances [m, m], the squared Euclidean
// distance of every two; the one in use writes them in parts, to be added. The indented lines are claims;
// README.md beside this file says how to read them, and a test evaluates them.
//
// Unlike the other two, this operation has many more sums to make than numbers to load: each row is needed m
// times. The way leads from loading it m times to loading it m / 16 times, and then from one busy multiprocessor
// to many.
//
// The last version is not repeated but included: ../batch_contrastive.cu, the kernel in use.
#include "../batch_contrastive.cu"

// ---- 1. A thread a pair. --------------------------------------------------------------------------------------------
//
// A thread walks along its two rows. Of a warp 16 neighbours have 16 different j, whose features lie in 16 lines:
// with the two lines of its two i a warp asks L1 for 18 lines to get 18 numbers. What is loaded is shared only by
// luck, between threads of a block that happen to be at the same place.
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
// In `time`: 16 numbers of each row are on their way, two sectors.
//
// The next version lets neighbours load what lies side by side.
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
// The lanes of a warp share a pair: each loads 16 bytes of both rows at once, and five shuffles add up. Now every
// line is used whole, and a batch of 16 has 256 warps at work. But each row is still loaded m times, and with
// many images those bytes come from the L2 cache: they are the limit.
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
// In `time`: the eight warps of a block have the same i, which L1 remembers, and different j; four packs of 16
// bytes a lane are on their way.
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
// A block makes 16 x 16 distances. 64 features of its 16 + 16 images go through shared memory, and each number
// that was loaded is used 16 times. The bytes from the L2 cache fall to an eighth.
//
// But a batch of 16 is one tile: one block on one multiprocessor, which goes through 2,048 features piece by
// piece and waits for each, while the other 131 have nothing to do. What is better for 1,024 images is slower for
// 16.
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
// In `time`: for 4 features of 32 pairs a warp asks shared memory for 3 lines, one for its two rows and two for
// its 16 columns; a piece is 384 such accesses of one of 132 multiprocessors, hence 50688. Then two barriers, and
// the way of a pack into shared memory and out.
//
// The next version cuts the features in parts.
extern "C" __global__ void batch_contrastive_v3_tiles(const float* __restrict__ x, float* __restrict__ distances, int m,
                                                      int n) {
    using namespace batch_contrastive;
    __shared__ Piece row_piece, column_piece;
    const int row = threadIdx.y, column = threadIdx.x, thread = row * TILE + column;
    // Which 4 features of which image of a piece this thread brings.
    const int image = thread / (CHUNK / 4), feature = thread % (CHUNK / 4) * 4;
    const auto bring = [&](Piece& piece, int tile, int from) {
        const int i = tile * TILE + image;
        for (int k = 0; k < 4; ++k) {
            const int at = from + feature + k;
            piece.at[image][feature + k] = i < m && at < n ? x[static_cast<size_t>(i) * n + at] : 0.0f;
        }
    };
    float distance = 0.0f;
    for (int from = 0; from < n; from += CHUNK) {
        __syncthreads();  // the pieces before these are read to their end
        bring(row_piece, blockIdx.y, from);
        bring(column_piece, blockIdx.x, from);
        __syncthreads();  // all of both pieces is there
#pragma unroll
        for (int k = 0; k < CHUNK; k += 4) {
            const auto a = load<4>(&row_piece.at[row][k]), b = load<4>(&column_piece.at[column][k]);
            for (int l = 0; l < 4; ++l) distance += (a.at[l] - b.at[l]) * (a.at[l] - b.at[l]);
        }
    }
    const int i = blockIdx.y * TILE + row, j = blockIdx.x * TILE + column;
    if (i < m && j < m) distances[static_cast<size_t>(i) * m + j] = distance;
}

// ---- 4. In use: parts of the features, half of the tiles, the next piece on its way. --------------------------------
//
// The third dimension of the grid are parts of the features: a batch of 16 with 2,048 of them is 32 blocks of one
// piece each, which all wait at the same time. Each part writes a matrix of its own, and the kernel behind adds
// them up in their order, because two blocks must not add to one place without saying who is first. The number of
// parts depends on m and n alone: else the last bits would depend on the chip.
//
// A tile and its mirror image are made once, and the next piece is on its way while one is worked at. Many images
// are now bound by the L2 cache and shared memory in equal measure. With 16 images version 2 is not far behind,
// by these figures: there the launch counts, and tiles are for the larger batches.
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
