// Softmax cross entropy, forward pass: versions from a naive kernel to the one in use.
//
// Each version takes logits [m, n] and labels [m] and writes losses [m] and partition [m], the pair (largest logit,
// logarithm of the sum of exponentials relative to it) of each row. The indented lines are claims; README.md in this
// folder explains their notation, and a test evaluates them.
//
// The last version is included from ../softmax_cross_entropy.cu, the kernel in use.
#include "../softmax_cross_entropy.cu"

namespace softmax_lab {

// Computes loss and partition from the maximum and the sum of a row, in one thread. All labels are assumed to be
// classes.
__device__ __forceinline__ void finish(const float* row, int label, float max, float sum, float* loss,
                                       float2* partition) {
    const float log_sum = logf(sum);
    *loss = log_sum - (row[label] - max);
    *partition = make_float2(max, log_sum);
}

}

// ---- 1. A thread a row. ---------------------------------------------------------------------------------------------
//
// The loop of a CPU, once for each row: find the maximum, then sum the exponentials. The subtraction of the maximum is
// necessary: expf overflows at 89.
//
// The 32 threads of a warp load 32 addresses that are n floats apart, each in a different cache line, where adjacent
// addresses would share one line. The L1 cache then serves a load of the warp line by line, and a load uses 4 bytes of
// each 32-byte sector from memory; the next 7 iterations use the other 28, if the cache is large enough. And a batch of
// 16 images occupies 16 threads of the whole chip, each with one load after the other.
//
//   kernel      softmax_v1_thread_a_row(logits, labels, losses, partition, m, n)
//   grid        ceil(m / b)
//   block       64
//   read        8 m n + 8 m
//   written     12 m
//   barriers    0
//   warp        0
//   operations  m n maxima, m n expf, 2 m n additions
//   memory      8 m n + 20 m: two passes, and a buffer larger than the L2 cache comes from memory in each
//   time        max(memory / B, 2 m n / Q, L (n / 16 + n / 8) + S n / 4)
//   predicted   514 us at 16384 x 4096, 21.1 us at 16 x 751
//
// In `time`: each access is a separate line, twice per element. The first loop has 16 loads in flight, which wait for
// two sectors; the second has 4, which wait for a sector and for L1 in turn.
//
// The next version uses many threads per row, with adjacent elements in adjacent threads.
// ANCHOR: thread_a_row
extern "C" __global__ void softmax_v1_thread_a_row(const float* logits, const int* labels, float* losses,
                                                   float2* partition, int m, int n) {
    const int i = static_cast<int>(thread_of_grid());
    if (i >= m) return;
    const float* row = logits + static_cast<size_t>(i) * n;
    float max = -INFINITY;
    for (int k = 0; k < n; ++k) max = fmaxf(max, row[k]);
    float sum = 0.0f;
    for (int k = 0; k < n; ++k) sum += expf(row[k] - max);
    softmax_lab::finish(row, labels[i], max, sum, losses + i, partition + i);
}
// ANCHOR_END: thread_a_row

// ---- 2. A block a row, trees in shared memory. ----------------------------------------------------------------------
//
// Thread t takes the elements t, t + b, t + 2 b, ...: a warp's load is 128 adjacent bytes, one line. The b partial
// results are combined in shared memory, where each step halves their number; a barrier separates the steps.
//
// The second pass finds the row in L1, since a row is a few kilobytes, so the bytes from memory are minimal. The limit
// is the number of bytes in flight: 2,048 threads with one load of 4 bytes each are 8 KB for each multiprocessor, and
// half a microsecond later the next 8 KB, where memory could deliver 13 KB. Each of the 19 barriers also stalls the
// whole block, and in the last five steps of a tree less than a warp has work.
//
// ANCHOR: claims
//   kernel      softmax_v2_tree(logits, labels, losses, partition, n)
//   grid        m
//   block       256
//   read        8 m n + 8 m
//   written     12 m
//   barriers    m (2 log2(b) + 3)
//   warp        0
//   operations  m n maxima, m n expf, 2 m n additions, b maxima and b additions a row in the trees
//   memory      4 m n + 20 m
//   time        max(memory / B, ceil(m b / R) ((L + 2 S) ceil(n / b) + 3 S (2 log2(b) + 3)))
//   predicted   149 us at 16384 x 4096, 1.34 us at 16 x 751
// ANCHOR_END: claims
//
// In `time`: a thread has one load in flight; the second pass hits L1; a step of a tree waits, loads and stores.
//
// The next version reduces inside of warps, whose 32 threads need neither barriers nor shared memory.
namespace softmax_lab {

// All threads receive the reduction of their values. `scratch` is shared memory for blockDim.x values, a power of two.
// ANCHOR: tree
template <class Op> __device__ __forceinline__ float tree(float value, float* scratch) {
    scratch[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] = Op()(scratch[threadIdx.x], scratch[threadIdx.x + half]);
    }
    __syncthreads();
    return scratch[0];
}
// ANCHOR_END: tree

}

extern "C" __global__ void softmax_v2_tree(const float* logits, const int* labels, float* losses, float2* partition,
                                           int n) {
    __shared__ float scratch[1024];
    const float* row = logits + static_cast<size_t>(blockIdx.x) * n;
    float max = -INFINITY;
    for (int k = threadIdx.x; k < n; k += blockDim.x) max = fmaxf(max, row[k]);
    max = softmax_lab::tree<Max>(max, scratch);
    __syncthreads();  // scratch[0] is read above and written below
    float sum = 0.0f;
    for (int k = threadIdx.x; k < n; k += blockDim.x) sum += expf(row[k] - max);
    sum = softmax_lab::tree<Sum>(sum, scratch);
    if (threadIdx.x == 0)
        softmax_lab::finish(row, labels[blockIdx.x], max, sum, losses + blockIdx.x, partition + blockIdx.x);
}

// ---- 3. Shuffles. ---------------------------------------------------------------------------------------------------
//
// Five shuffles reduce the 32 values of a warp in registers. One value per warp is then stored in shared memory, and
// five more shuffles reduce these (`block_reduce` of ../common.cuh): two barriers per reduction for every block size.
//
//   kernel      softmax_v3_shuffles(logits, labels, losses, partition, n)
//   grid        m
//   block       256
//   read        8 m n + 8 m
//   written     12 m
//   barriers    4 m
//   warp        20 m w
//   operations  m n maxima, m n expf, 2 m n additions, 10 maxima and 10 additions a thread after the shuffles
//   memory      4 m n + 20 m
//   time        max(memory / B, ceil(m b / R) ((L + 2 S) ceil(n / b) + 28 S))
//   predicted   142 us at 16384 x 4096, 0.9 us at 16 x 751
//
// In `time`: 20 shuffles, 4 barriers and 4 accesses of shared memory.
//
// The next version reads the row once.
extern "C" __global__ void softmax_v3_shuffles(const float* logits, const int* labels, float* losses, float2* partition,
                                               int n) {
    __shared__ float scratch[LANES];
    const float* row = logits + static_cast<size_t>(blockIdx.x) * n;
    float max = -INFINITY;
    for (int k = threadIdx.x; k < n; k += blockDim.x) max = fmaxf(max, row[k]);
    max = block_reduce<Max>(max, -INFINITY, scratch);
    float sum = 0.0f;
    for (int k = threadIdx.x; k < n; k += blockDim.x) sum += expf(row[k] - max);
    sum = block_reduce<Sum>(sum, 0.0f, scratch);
    if (threadIdx.x == 0)
        softmax_lab::finish(row, labels[blockIdx.x], max, sum, losses + blockIdx.x, partition + blockIdx.x);
}

// ---- 4. One pass. ---------------------------------------------------------------------------------------------------
//
// The maximum need not be known in advance (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018):
// the sum is relative to the largest logit so far, and is multiplied by exp(old - new) when a larger one occurs. Two
// such pairs merge in the same way, so one reduction of pairs replaces two of numbers. The second pass and its cache
// accesses are not needed; a pair takes two shuffles, and each step of the reduction an expf.
//
//   kernel      softmax_v4_one_pass(logits, labels, losses, partition, n)
//   grid        m
//   block       256
//   read        4 m n + 8 m
//   written     12 m
//   barriers    2 m
//   warp        20 m w
//   operations  m n comparisons, m n expf, 2 m n additions; 10 to 20 expf a thread after the shuffles
//   memory      4 m n + 20 m
//   time        max(memory / B, ceil(m b / R) (L ceil(n / b) + 34 S))
//   predicted   136 us at 16384 x 4096, 0.9 us at 16 x 751
//
// In `time`: ten steps of a shuffle and an expf, which takes about two; 2 barriers and 2 accesses of shared
// memory.
//
// The next version loads 16 bytes at a time.
extern "C" __global__ void softmax_v4_one_pass(const float* logits, const int* labels, float* losses, float2* partition,
                                               int n) {
    using namespace softmax_cross_entropy;
    __shared__ Partition scratch[LANES];
    const float* row = logits + static_cast<size_t>(blockIdx.x) * n;
    const Partition empty = {-INFINITY, 0.0f};
    // ANCHOR: one_pass
    Partition own = empty;
    for (int k = threadIdx.x; k < n; k += blockDim.x) {
        const float z = row[k];
        if (z > own.max) {
            own = {z, own.sum * expf(own.max - z) + 1.0f};
        } else {
            own.sum += expf(z - own.max);
        }
    }
    own = block_reduce<Merge>(own, empty, scratch);
    // ANCHOR_END: one_pass
    if (threadIdx.x == 0)
        softmax_lab::finish(row, labels[blockIdx.x], own.max, own.sum, losses + blockIdx.x, partition + blockIdx.x);
}

// ---- 5. In use: 16 bytes at once. -----------------------------------------------------------------------------------
//
// A thread loads four logits with one instruction: a quarter of the loads and four times the bytes in flight, 32 KB for
// each multiprocessor, more than the 13 KB that memory can deliver in half a microsecond. Memory is now the limit, and
// no version can read fewer bytes.
//
// A row whose length is no multiple of four may begin unaligned, and its first and last few elements are loaded singly:
// up to two more round trips for one warp. With 751 classes this costs as much as the wide loads gain.
//
//   kernel      softmax_cross_entropy_forward_f32(logits, labels, losses, partition, n)
//   grid        m
//   block       256
//   where       u = ceil(n / 4) - floor(n / 4): 1 where rows begin anywhere, else 0
//   read        4 m n + 8 m
//   written     12 m
//   barriers    2 m
//   warp        20 m w
//   operations  as version 4
//   memory      4 m n + 20 m
//   time        max(memory / B, ceil(m b / R) (L (ceil(n / (4 b)) + 2 u) + 34 S))
//   predicted   80 us at 16384 x 4096, 0.9 us at 16 x 751
//
// At 16 x 751 the predictions for versions 3 to 5 are equal and far below the cost of a launch: the number of launches
// of a training step matters more there.

SOFTCUDA_KERNELS(softmax_v1_thread_a_row, softmax_v2_tree, softmax_v3_shuffles, softmax_v4_one_pass)
