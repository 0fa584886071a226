#include <cuda_bf16.h>
#include <stddef.h>

// y = x / (1 + |x|) of n elements. Any number of blocks; arithmetic in f32, bf16 only in memory.
extern "C" __global__ void softsign_forward_f32(const float* x, float* y, size_t n) {}

extern "C" __global__ void softsign_forward_bf16(const __nv_bfloat16* x, __nv_bfloat16* y, size_t n) {}

// dx = dy times the derivative at x. dx may be dy.
extern "C" __global__ void softsign_backward_f32(const float* x, const float* dy, float* dx, size_t n) {}

extern "C" __global__ void softsign_backward_bf16(const __nv_bfloat16* x, const __nv_bfloat16* dy, __nv_bfloat16* dx,
                                                  size_t n) {}

#ifdef __SOFTCUDA__
SOFTCUDA_KERNELS(softsign_forward_f32, softsign_forward_bf16, softsign_backward_f32, softsign_backward_bf16)
#endif
