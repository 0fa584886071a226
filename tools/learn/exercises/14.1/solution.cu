#include <cuda_bf16.h>
#include <stddef.h>

static __device__ float load(const float* x, size_t i) { return x[i]; }
static __device__ float load(const __nv_bfloat16* x, size_t i) { return __bfloat162float(x[i]); }
static __device__ void store(float* y, size_t i, float value) { y[i] = value; }
static __device__ void store(__nv_bfloat16* y, size_t i, float value) { y[i] = __float2bfloat16(value); }

template <typename T>
static __device__ void forward(const T* x, T* y, size_t n) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
        const float value = load(x, i);
        store(y, i, value / (1.0f + fabsf(value)));
    }
}

template <typename T>
static __device__ void backward(const T* x, const T* dy, T* dx, size_t n) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
        const float d = 1.0f + fabsf(load(x, i));
        store(dx, i, load(dy, i) / (d * d));
    }
}

// y = x / (1 + |x|) of n elements. Any number of blocks; arithmetic in f32, bf16 only in memory.
extern "C" __global__ void softsign_forward_f32(const float* x, float* y, size_t n) { forward(x, y, n); }

extern "C" __global__ void softsign_forward_bf16(const __nv_bfloat16* x, __nv_bfloat16* y, size_t n) {
    forward(x, y, n);
}

// dx = dy times the derivative at x. dx may be dy.
extern "C" __global__ void softsign_backward_f32(const float* x, const float* dy, float* dx, size_t n) {
    backward(x, dy, dx, n);
}

extern "C" __global__ void softsign_backward_bf16(const __nv_bfloat16* x, const __nv_bfloat16* dy, __nv_bfloat16* dx,
                                                  size_t n) {
    backward(x, dy, dx, n);
}

#ifdef __SOFTCUDA__
SOFTCUDA_KERNELS(softsign_forward_f32, softsign_forward_bf16, softsign_backward_f32, softsign_backward_bf16)
#endif
