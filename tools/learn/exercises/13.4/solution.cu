// y [m, n], each row of x [m, n] divided by its length, and norms [m], the lengths. A length below 1e-12 is replaced by
// 1e-12 as divisor. At most 2,048 features. Grid: m blocks of 256 threads. A thread keeps its elements in registers.
extern "C" __global__ void l2_normalize_once(const float* x, float* y, float* norms, int n) {
    __shared__ float scratch[256];
    const size_t start = static_cast<size_t>(blockIdx.x) * n;
    // The loops have a fixed number of steps, so that each element of the array can be a register.
    float kept[8];
    float own = 0.0f;
#pragma unroll
    for (int step = 0; step < 8; ++step) {
        const int k = step * 256 + threadIdx.x;
        kept[step] = k < n ? x[start + k] : 0.0f;
        own += kept[step] * kept[step];
    }
    scratch[threadIdx.x] = own;
    for (unsigned half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
    }
    __syncthreads();
    const float norm = sqrtf(scratch[0]), scale = 1.0f / fmaxf(norm, 1e-12f);
#pragma unroll
    for (int step = 0; step < 8; ++step) {
        const int k = step * 256 + threadIdx.x;
        if (k < n) y[start + k] = kept[step] * scale;
    }
    if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

SOFTCUDA_KERNELS(l2_normalize_once)
