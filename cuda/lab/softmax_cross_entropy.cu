// Softmax cross entropy, forward: the way from a naive kernel to the one in use.
//
// Each version takes logits [m, n] and labels [m] and writes losses [m] and partition [m], the pair (largest
// logit, logarithm of the sum of exponentials relative to it) of each row. The indented lines are claims;
// README.md beside this file says how to read them, and a test evaluates them.
//
// The last version is not repeated but included: ../softmax_cross_entropy.cu, the kernel in use.
#include "../softmax_cross_entropy.cu"

namespace softmax_lab {

// What one thread of each row does with the row's two sums. Here all labels are classes.
__device__ __forceinline__ void finish(const float* row, int label, float max, float sum, float* loss,
                                       float2* partition) {
    const float log_sum = logf(sum);
    *loss = log_sum - (row[label] - max);
    *partition = make_float2(max, log_sum);
}

}

// ---- 1. A thread a row. ---------------------------------------------------------------------------------------------
//
// The loop that one would write for a processor, once for each row: find the maximum, then sum the exponentials.
// The subtraction of the maximum is not decoration: expf overflows at 89.
//
// The 32 threads of a warp load 32 addresses that are n floats apart, each in a cache line of its own, where
// neighbouring addresses would share one. The L1 cache then serves a load of the warp line by line, and of each
// 32-byte sector that comes from memory a load uses 4 bytes; the other 28 wait in the cache for the next 7
// rounds, if it is large enough for them. And a batch of 16 images keeps 16 threads of the whole chip busy, each
// with one load after the other.
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
// In `time`: each element is a line of its own, twice. nvcc keeps 16 loads on their way in the first loop, which
// wait for two sectors, and 4 in the second, which wait for a sector and for L1 in turns.
//
// The next version gives a row to many threads, and neighbouring elements to neighbouring threads.
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

// ---- 2. A block a row, trees in shared memory. ----------------------------------------------------------------------
//
// Thread t takes the elements t, t + b, t + 2 b, ...: a warp's load is 128 neighbouring bytes, one line. The b
// partial results meet in shared memory, where each step halves their number; between two steps stands a barrier.
//
// The second pass finds the row in L1, since a row is a few kilobytes. The bytes from memory are now as few as
// they can be. What limits is how many of them are on their way: 2,048 threads with one load of 4 bytes each are
// 8 KB for each multiprocessor, and half a microsecond later the next 8 KB, where memory could send 13 KB.
// Meanwhile each of the 19 barriers holds the whole block up, and in the last five steps of a tree less than a
// warp has work.
//
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
//
// In `time`: a thread has one load on its way; the second pass finds it in L1; a step of a tree waits, loads and
// stores.
//
// The next version reduces inside warps, whose 32 threads need neither barriers nor shared memory.
namespace softmax_lab {

// All threads get the reduction of their values. `scratch` is shared memory for blockDim.x values, a power of
// two.
template <class Op> __device__ __forceinline__ float tree(float value, float* scratch) {
    scratch[threadIdx.x] = value;
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] = Op()(scratch[threadIdx.x], scratch[threadIdx.x + half]);
    }
    __syncthreads();
    return scratch[0];
}

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
// Five shuffles reduce the 32 values of a warp from register to register. One value a warp then goes through
// shared memory, and five more shuffles reduce those (`block_reduce` of ../common.cuh): two barriers a reduction,
// whatever the block's size.
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
// The maximum need not be known in advance (Milakov and Gimelshein, "Online normalizer calculation for softmax",
// 2018): keep the sum relative to the largest logit so far, and multiply it by exp(old - new) when a larger one
// comes. Two such pairs merge in the same way, so one reduction of pairs replaces two of numbers. The second pass
// and its round trip to the cache are gone; a pair takes two shuffles, and each step of the reduction an expf.
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
// The next version loads 16 bytes at once.
extern "C" __global__ void softmax_v4_one_pass(const float* logits, const int* labels, float* losses, float2* partition,
                                               int n) {
    using namespace softmax_cross_entropy;
    __shared__ Partition scratch[LANES];
    const float* row = logits + static_cast<size_t>(blockIdx.x) * n;
    const Partition empty = {-INFINITY, 0.0f};
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
    if (threadIdx.x == 0)
        softmax_lab::finish(row, labels[blockIdx.x], own.max, own.sum, losses + blockIdx.x, partition + blockIdx.x);
}

// ---- 5. In use: 16 bytes at once. -----------------------------------------------------------------------------------
//
// A thread loads four logits with one instruction: a quarter of the loads and four times the bytes on their way,
// 32 KB for each multiprocessor, more than the 13 KB that memory can send in half a microsecond. Now it is the
// limit, and no version can pass fewer bytes through it.
//
// A row of odd length begins anywhere, and its first and last few elements are loaded singly: up to two round
// trips more for one warp. At 751 classes that costs what the wide loads win; with a multiple of four it does not
// occur.
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
// At 16 x 751 versions 3 to 5 are predicted to be equals, all far below what a launch costs. What else a step of
// training launches is of more weight there.

SOFTCUDA_KERNELS(softmax_v1_thread_a_row, softmax_v2_tree, softmax_v3_shuffles, softmax_v4_one_pass)
