// Expect: two threads of different blocks take the same element
extern "C" __global__ void leaky_relu_forward_f32(const float* x, float* y, size_t n) {
    const size_t i = threadIdx.x;
    if (i < n) y[i] = x[i] < 0.0f ? 0.1f * x[i] : x[i];
}

SOFTCUDA_KERNELS(leaky_relu_forward_f32)
