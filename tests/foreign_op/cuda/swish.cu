// Swish: y = x s(beta x), s(z) = 1 / (1 + exp(-z)).   dx = dy (s + beta x s (1 - s)), s at beta x.
//
// One element a thread, in a loop over the grid: each element is independent of the others, so the number of blocks
// does not change the result. Arithmetic in f32; bf16 only in memory.
#include <cuda_bf16.h>
#include <stddef.h>

static __device__ float load(const float* x, size_t i) { return x[i]; }
static __device__ float load(const __nv_bfloat16* x, size_t i) { return __bfloat162float(x[i]); }
static __device__ void store(float* y, size_t i, float value) { y[i] = value; }
static __device__ void store(__nv_bfloat16* y, size_t i, float value) { y[i] = __float2bfloat16(value); }

static __device__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

template <typename T>
static __device__ void forward(const T* x, T* y, float beta, size_t n) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
        const float value = load(x, i);
        store(y, i, value * sigmoid(beta * value));
    }
}

// ANCHOR: backward
// dx may be dy: each thread reads its element before it writes it.
template <typename T>
static __device__ void backward(const T* x, const T* dy, T* dx, float beta, size_t n) {
    const size_t stride = size_t(gridDim.x) * blockDim.x;
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride) {
        const float value = load(x, i), s = sigmoid(beta * value);
        store(dx, i, load(dy, i) * (s + beta * value * s * (1.0f - s)));
    }
}
// ANCHOR_END: backward

// ANCHOR: kernel
extern "C" __global__ void swish_forward_f32(const float* x, float* y, float beta, size_t n) { forward(x, y, beta, n); }
// ANCHOR_END: kernel

extern "C" __global__ void swish_forward_bf16(const __nv_bfloat16* x, __nv_bfloat16* y, float beta, size_t n) {
    forward(x, y, beta, n);
}

extern "C" __global__ void swish_backward_f32(const float* x, const float* dy, float* dx, float beta, size_t n) {
    backward(x, dy, dx, beta, n);
}

extern "C" __global__ void swish_backward_bf16(const __nv_bfloat16* x, const __nv_bfloat16* dy, __nv_bfloat16* dx,
                                               float beta, size_t n) {
    backward(x, dy, dx, beta, n);
}

// The stand-ins for a GPU (tools/softcuda) take the names of the kernels from this line.
#ifdef __SOFTCUDA__
SOFTCUDA_KERNELS(swish_forward_f32, swish_forward_bf16, swish_backward_f32, swish_backward_bf16)
#endif
