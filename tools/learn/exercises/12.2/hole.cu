// y [1] = the largest of x [n], for any n from 1 on. One block of one to 32 whole warps. NaN is ignored.
extern "C" __global__ void block_max(const float* x, float* y, int n) {
    // Each thread finds the largest of its own elements, each warp that of its lanes, the block that of its warps.
}

SOFTCUDA_KERNELS(block_max)
