// counts [10] += how often each value of 0 to 9 occurs in values [n]. The host has set counts to 0.
extern "C" __global__ void histogram(const int* values, int* counts, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    // Sums of whole numbers are the same in any order.
    if (i < n) atomicAdd(&counts[values[i]], 1);
}

SOFTCUDA_KERNELS(histogram)
