// The kernel that does nothing: how long a launch takes. A kernel that moves so little that it takes hardly
// longer is called launch-bound.
#include "../common.cuh"

// Grid: any.
extern "C" __global__ void empty() {}

SOFTCUDA_KERNELS(empty)
