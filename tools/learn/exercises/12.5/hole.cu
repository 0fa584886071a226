__device__ __forceinline__ float warp_sum(float value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

// The sum of the values of all threads of a block, for each of them.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    value = warp_sum(value);
    __syncthreads();
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return warp_sum(lane < warps ? scratch[lane] : 0.0f);
}

// sums [2] = the sum of x [n] and the sum of x^2. One block of one to 32 whole warps. Two passes, four barriers.
extern "C" __global__ void moments(const float* x, float* sums, int n) {
    __shared__ float scratch[32];
    float sum = 0.0f, squares = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    sum = block_sum(sum, scratch);
    for (int i = threadIdx.x; i < n; i += blockDim.x) squares += x[i] * x[i];
    squares = block_sum(squares, scratch);
    if (threadIdx.x == 0) {
        sums[0] = sum;
        sums[1] = squares;
    }
}

SOFTCUDA_KERNELS(moments)
