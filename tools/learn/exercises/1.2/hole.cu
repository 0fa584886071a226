// y [n] = x for x >= 0 and 0.1 x otherwise. A thread handles one element.
extern "C" __global__ void leaky_relu_forward_f32(const float* x, float* y, size_t n) {
    // Which element is mine? Is there one?
}

SOFTCUDA_KERNELS(leaky_relu_forward_f32)
