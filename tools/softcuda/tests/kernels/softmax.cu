// Row-wise softmax, one block a row, and block reductions in a fixed order.

__device__ __forceinline__ float warp_max(float v) {
    for (int lanes = 16; lanes > 0; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, lanes));
    return v;
}
__device__ __forceinline__ float warp_sum(float v) {
    for (int lanes = 16; lanes > 0; lanes /= 2) v += __shfl_xor_sync(0xffffffffu, v, lanes);
    return v;
}

extern "C" __global__ void softmax(const float* __restrict__ x, float* __restrict__ y, int columns) {
    __shared__ float partial[32];
    const int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize, warps = blockDim.x / warpSize;
    const float* row = x + static_cast<size_t>(blockIdx.x) * columns;
    float* out = y + static_cast<size_t>(blockIdx.x) * columns;

    float largest = -INFINITY;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) largest = fmaxf(largest, __ldg(row + i));
    largest = warp_max(largest);
    if (lane == 0) partial[warp] = largest;
    __syncthreads();
    largest = warp_max(lane < warps ? partial[lane] : -INFINITY);
    __syncthreads();  // `partial` is written again below

    float sum = 0.0f;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i] - largest);
    sum = warp_sum(sum);
    if (lane == 0) partial[warp] = sum;
    __syncthreads();
    sum = warp_sum(lane < warps ? partial[lane] : 0.0f);
    for (int i = threadIdx.x; i < columns; i += blockDim.x) out[i] = expf(row[i] - largest) / sum;
}

// The same sum for any order of the threads: strided sums, then a tree in dynamic shared memory.
extern "C" __global__ void block_sum(const float* x, float* y, int n) {
    extern __shared__ float tree[];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[i];
    tree[threadIdx.x] = sum;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) tree[threadIdx.x] += tree[threadIdx.x + half];
    }
    if (threadIdx.x == 0) y[0] = tree[0];
}

SOFTCUDA_KERNELS(softmax, block_sum)
