// Does not compile: the order of the additions would be that of the threads.
__global__ void adds(const float* x, float* sum) { atomicAdd(sum, x[threadIdx.x]); }
SOFTCUDA_KERNELS(adds)
