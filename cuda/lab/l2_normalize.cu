// L2 normalisation, forward pass: versions from a naive kernel to the one in use.
//
// Each version takes x [m, n] and writes y [m, n], each row divided by its length, and norms [m], the lengths; a length
// below 1e-12 is replaced by 1e-12 as divisor. The indented lines are claims; README.md in this folder explains their
// notation, and a test evaluates them. softmax_cross_entropy.cu has similar versions with more explanation; new here
// are the third version and an output as large as the input.
//
// The last version is included from ../l2_normalize.cu, the kernel in use.
#include "../l2_normalize.cu"

namespace l2_normalize_lab {

// The factor on the elements of a row.
__device__ __forceinline__ float scale(float norm) { return 1.0f / fmaxf(norm, l2_normalize::EPSILON); }

}

// ---- 1. A thread a row. ---------------------------------------------------------------------------------------------
//
// Each of the 32 addresses of a warp lies in a different line, for loads and for stores: 4 of the 32 bytes of a sector
// are used each time. The L2 cache combines eight partial writes to a sector.
//
//   kernel      l2_normalize_v1_thread_a_row(x, y, norms, m, n)
//   grid        ceil(m / b)
//   block       64
//   read        8 m n
//   written     4 m n + 4 m
//   barriers    0
//   warp        0
//   operations  2 m n multiplications, m n additions
//   memory      12 m n + 4 m: two passes over a buffer larger than the L2 cache, and the output
//   time        max(memory / B, 3 m n / Q, L (n / 16 + n / 8) + 7 S n / 4)
//   predicted   771 us at 32768 x 2048, 104 us at 16 x 2048
//
// In `time`: each access is a separate line, three times per element. The first loop has 16 loads in flight, which wait
// for two sectors. The second loop has one, because y may be x: nvcc must not load an element before the previous one
// is stored. One load in eight waits for a sector, the others for L1.
//
// The next version uses a block per row.
extern "C" __global__ void l2_normalize_v1_thread_a_row(const float* x, float* y, float* norms, int m, int n) {
    const int i = static_cast<int>(thread_of_grid());
    if (i >= m) return;
    const size_t start = static_cast<size_t>(i) * n;
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += x[start + k] * x[start + k];
    const float norm = sqrtf(sum), scale = l2_normalize_lab::scale(norm);
    for (int k = 0; k < n; ++k) y[start + k] = x[start + k] * scale;
    norms[i] = norm;
}

// ---- 2. A block a row, a tree in shared memory. ---------------------------------------------------------------------
//
// Neighbouring threads take neighbouring elements. The second pass finds the row in L1, so that each byte is read from
// memory once. Between the two passes are nine barriers of 256 threads, during which nothing is written.
//
//   kernel      l2_normalize_v2_tree(x, y, norms, n)
//   grid        m
//   block       256
//   read        8 m n
//   written     4 m n + 4 m
//   barriers    m (log2(b) + 1)
//   warp        0
//   operations  2 m n multiplications, m n additions, b additions a row in the tree
//   memory      8 m n + 4 m
//   time        max(memory / B, ceil(m b / R) ((L + 2 S) ceil(n / b) + 3 S (log2(b) + 1)))
//   predicted   160 us at 32768 x 2048, 1.69 us at 16 x 2048
//
// In `time`: a thread has one load in flight; a step of the tree waits, loads and stores. With many rows memory is the
// limit, though by little: the chain takes 149 us.
//
// The next version has no barriers.
extern "C" __global__ void l2_normalize_v2_tree(const float* x, float* y, float* norms, int n) {
    __shared__ float scratch[1024];
    const size_t start = static_cast<size_t>(blockIdx.x) * n;
    float own = 0.0f;
    for (int k = threadIdx.x; k < n; k += blockDim.x) own += x[start + k] * x[start + k];
    scratch[threadIdx.x] = own;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
    }
    __syncthreads();
    const float norm = sqrtf(scratch[0]), scale = l2_normalize_lab::scale(norm);
    for (int k = threadIdx.x; k < n; k += blockDim.x) y[start + k] = x[start + k] * scale;
    if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

// ---- 3. A warp a row. -----------------------------------------------------------------------------------------------
//
// Five shuffles replace the tree, its barriers and its shared memory; the eight warps of a block are independent. For
// many rows this is the simplest efficient version. But a batch has 16 rows: 16 warps on a chip of 132 multiprocessors,
// each with 64 iterations of its loops. Latency, which thousands of rows would hide, then dominates.
//
//   kernel      l2_normalize_v3_warp_a_row(x, y, norms, m, n)
//   grid        ceil(m / w)
//   block       256
//   read        8 m n
//   written     4 m n + 4 m
//   barriers    0
//   warp        5 m
//   operations  2 m n multiplications, m n additions, 160 additions a row after the shuffles
//   memory      8 m n + 4 m
//   time        max(memory / B, ceil(32 m / R) (L ceil(n / 512) + 2 S ceil(n / 32) + 5 S))
//   predicted   160 us at 32768 x 2048, 2.52 us at 16 x 2048
//
// In `time`: the stride of the first loop is a constant, so nvcc unrolls it and 16 loads are in flight; the second loop
// has one, as in version 1.
//
// The next version uses a block per row again, but with shuffles and loads of 16 bytes.
extern "C" __global__ void l2_normalize_v3_warp_a_row(const float* x, float* y, float* norms, int m, int n) {
    const int i = static_cast<int>(thread_of_grid() / LANES), lane = threadIdx.x % LANES;
    if (i >= m) return;  // a whole warp
    const size_t start = static_cast<size_t>(i) * n;
    float own = 0.0f;
    for (int k = lane; k < n; k += LANES) own += x[start + k] * x[start + k];
    const float norm = sqrtf(warp_reduce<Sum>(own)), scale = l2_normalize_lab::scale(norm);
    for (int k = lane; k < n; k += LANES) y[start + k] = x[start + k] * scale;
    if (lane == 0) norms[i] = norm;
}

// ---- 4. In use: a block a row, shuffles, 16 bytes at once. ----------------------------------------------------------
//
// A row of 2,048 floats is two loads for each of 256 threads. With many rows this is no faster than version 3, since
// memory limits both; with the 16 rows of a training step it takes a fifth of the time, less than the launch.
//
// An infinite sum of squares, which occurs in f32 from a length of 1.8e19 on, gives a row of NaN here and not in the
// versions above.
//
//   kernel      l2_normalize_forward_f32(x, y, norms, n)
//   grid        m
//   block       256
//   where       u = ceil(n / 4) - floor(n / 4): 1 where rows begin anywhere, else 0
//   read        8 m n
//   written     4 m n + 4 m
//   barriers    2 m
//   warp        10 m w
//   operations  2 m n multiplications, m n additions, 10 additions a thread after the shuffles
//   memory      8 m n + 4 m
//   time        max(memory / B, ceil(m b / R) ((L + 2 S) (ceil(n / (4 b)) + 2 u) + 14 S))
//   predicted   160 us at 32768 x 2048, 0.53 us at 16 x 2048
//
// In `time`: 10 shuffles, 2 barriers, 2 accesses of shared memory.

SOFTCUDA_KERNELS(l2_normalize_v1_thread_a_row, l2_normalize_v2_tree, l2_normalize_v3_warp_a_row)
