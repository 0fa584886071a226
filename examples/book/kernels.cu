// The kernels of chapter 12 of the book.

// ANCHOR: who
// y [n] = 1000 times the number of the block, plus the number of the thread in its block.
extern "C" __global__ void who(int* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 1000 * blockIdx.x + threadIdx.x;
}
// ANCHOR_END: who

// ANCHOR: warp
// The sum of the values of all 32 threads of a warp, for each of them.
__device__ __forceinline__ float warp_sum(float value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}
// ANCHOR_END: warp

// ANCHOR: block
// The sum of the values of all threads of a block, for each of them.
template <bool HAS_FIRST_BARRIER> __device__ __forceinline__ float block_sum(float value, float* scratch) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_sum(value);
    if (HAS_FIRST_BARRIER) __syncthreads();
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return warp_sum(lane < warps ? scratch[lane] : 0.0f);
}
// ANCHOR_END: block

// ANCHOR: moments
// sums [2] = the sum of x and the sum of x^2, for an element of x a thread.
template <bool HAS_FIRST_BARRIER> __device__ __forceinline__ void moments(const float* x, float* sums) {
    __shared__ float scratch[32];
    const float value = x[threadIdx.x];
    const float sum = block_sum<HAS_FIRST_BARRIER>(value, scratch);
    const float squares = block_sum<HAS_FIRST_BARRIER>(value * value, scratch);
    if (threadIdx.x == 0) {
        sums[0] = sum;
        sums[1] = squares;
    }
}
// ANCHOR_END: moments

extern "C" __global__ void moments_right(const float* x, float* sums) { moments<true>(x, sums); }
extern "C" __global__ void moments_racing(const float* x, float* sums) { moments<false>(x, sums); }

// ANCHOR: half
// Half of a warp waits for the other half, which never comes.
extern "C" __global__ void half_a_barrier(const float* x, float* y) {
    if (threadIdx.x < 16) __syncthreads();
    y[threadIdx.x] = x[threadIdx.x];
}
// ANCHOR_END: half

SOFTCUDA_KERNELS(who, moments_right, moments_racing, half_a_barrier)
