// Expect: a barrier orders the threads of one block, and here all blocks write
extern "C" __global__ void histogram(const int* values, int* counts, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    // One thread after the other.
    for (int turn = 0; turn < blockDim.x; ++turn) {
        if (turn == threadIdx.x && i < n) counts[values[i]] += 1;
        __syncthreads();
    }
}

SOFTCUDA_KERNELS(histogram)
