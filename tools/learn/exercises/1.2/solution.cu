// y [n] = x for x >= 0 and 0.1 x otherwise. A thread handles one element.
extern "C" __global__ void leaky_relu_forward_f32(const float* x, float* y, size_t n) {
    const size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i] < 0.0f ? 0.1f * x[i] : x[i];
}

SOFTCUDA_KERNELS(leaky_relu_forward_f32)
