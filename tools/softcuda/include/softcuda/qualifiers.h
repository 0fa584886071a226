// Qualifiers: where a function runs and where a variable lives.
#pragma once

#define __SOFTCUDA__ 1

#define __global__
#define __device__
#define __host__
#define __constant__
#define __managed__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __builtin_align__(bytes) __align__(bytes)

// A shared array is a variable of the host thread, because one host thread runs one block at a time. `thread_local`
// also happens to be the one storage class that fits both `__shared__ float tile[32][33];` (in a function it implies
// `static`) and `extern __shared__ float dynamic[];`. The build puts a red zone behind every array and gives all
// dynamic arrays of a library one common place, as on a GPU.
#define __shared__ constinit thread_local

// Runs host code of the library whose accesses must not count as a kernel's.
#define SOFTCUDA_NOT_A_KERNEL __attribute__((no_sanitize("thread")))
