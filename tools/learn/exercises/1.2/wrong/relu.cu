// Expect: y[0] is 0 instead of -0.05
extern "C" __global__ void leaky_relu_forward_f32(const float* x, float* y, size_t n) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

SOFTCUDA_KERNELS(leaky_relu_forward_f32)
