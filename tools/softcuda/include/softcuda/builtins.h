// The built-in variables of a kernel, and plain loads with a cache hint.
#pragma once

#include "vector_types.h"

namespace softcuda {
// `const`: one thread sees the same value for as long as it lives, so the compiler may ask once.
[[gnu::const]] uint3 thread_idx();
[[gnu::const]] uint3 block_idx();
[[gnu::const]] dim3 block_dim();
[[gnu::const]] dim3 grid_dim();
}

#define threadIdx (::softcuda::thread_idx())
#define blockIdx (::softcuda::block_idx())
#define blockDim (::softcuda::block_dim())
#define gridDim (::softcuda::grid_dim())

constexpr int warpSize = 32;

template <class T> __forceinline__ T __ldg(const T* p) { return *p; }
template <class T> __forceinline__ T __ldca(const T* p) { return *p; }
template <class T> __forceinline__ T __ldcg(const T* p) { return *p; }
template <class T> __forceinline__ T __ldcs(const T* p) { return *p; }
template <class T> __forceinline__ void __stcg(T* p, T value) { *p = value; }
template <class T> __forceinline__ void __stcs(T* p, T value) { *p = value; }
