// Expect: does a comparison with NaN keep the largest value so far
__device__ __forceinline__ float warp_max(float value) {
    // fmaxf returns the number if one argument is NaN.
    for (int lanes = 16; lanes > 0; lanes /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lanes));
    return value;
}

// y [1] = the largest of x [n], for any n from 1 on. One block of one to 32 whole warps. NaN is ignored.
extern "C" __global__ void block_max(const float* x, float* y, int n) {
    __shared__ float scratch[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float largest = -INFINITY;
    for (int i = threadIdx.x; i < n; i += blockDim.x) if (!(x[i] < largest)) largest = x[i];
    largest = warp_max(largest);
    if (lane == 0) scratch[warp] = largest;
    __syncthreads();
    largest = warp_max(lane < warps ? scratch[lane] : -INFINITY);
    if (threadIdx.x == 0) y[0] = largest;
}

SOFTCUDA_KERNELS(block_max)
