// An empty kernel, which measures the time of a launch. A kernel that takes hardly longer is called launch-bound.
#include "../common.cuh"

// Grid: any.
extern "C" __global__ void empty() {}

SOFTCUDA_KERNELS(empty)
