// Expect: do both sums share one array?
__device__ __forceinline__ float warp_sum(float value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

// sums [2] = the sum of x [n] and the sum of x^2. One block of one to 32 whole warps. One pass, one barrier: both sums
// are in shared memory before it.
extern "C" __global__ void moments(const float* x, float* sums, int n) {
    __shared__ float scratch[1][32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float sum = 0.0f, squares = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const float value = x[i];
        sum += value;
        squares += value * value;
    }
    sum = warp_sum(sum);
    squares = warp_sum(squares);
    if (lane == 0) {
        scratch[0][warp] = sum;
        scratch[0][warp] = squares;
    }
    __syncthreads();
    sum = warp_sum(lane < warps ? scratch[0][lane] : 0.0f);
    squares = warp_sum(lane < warps ? scratch[0][lane] : 0.0f);
    if (threadIdx.x == 0) {
        sums[0] = sum;
        sums[1] = squares;
    }
}

SOFTCUDA_KERNELS(moments)
