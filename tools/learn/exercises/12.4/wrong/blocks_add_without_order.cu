// Expect: a barrier orders the threads of one block, and here all blocks write
extern "C" __global__ void histogram(const int* values, int* counts, int n) {
    __shared__ int own[10];
    if (threadIdx.x < 10) own[threadIdx.x] = 0;
    __syncthreads();
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(&own[values[i]], 1);
    __syncthreads();
    if (threadIdx.x < 10) counts[threadIdx.x] += own[threadIdx.x];
}

SOFTCUDA_KERNELS(histogram)
