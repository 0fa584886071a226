// y [m, n], each row of x [m, n] divided by its length, and norms [m], the lengths. A length below 1e-12 is replaced by
// 1e-12 as divisor. At most 2,048 features. Grid: m blocks of 256 threads. Version 2, which reads a row twice.
extern "C" __global__ void l2_normalize_once(const float* x, float* y, float* norms, int n) {
    __shared__ float scratch[256];
    const size_t start = static_cast<size_t>(blockIdx.x) * n;
    float own = 0.0f;
    for (int k = threadIdx.x; k < n; k += 256) own += x[start + k] * x[start + k];
    scratch[threadIdx.x] = own;
    for (unsigned half = 128; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) scratch[threadIdx.x] += scratch[threadIdx.x + half];
    }
    __syncthreads();
    const float norm = sqrtf(scratch[0]), scale = 1.0f / fmaxf(norm, 1e-12f);
    for (int k = threadIdx.x; k < n; k += 256) y[start + k] = x[start + k] * scale;
    if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

SOFTCUDA_KERNELS(l2_normalize_once)
