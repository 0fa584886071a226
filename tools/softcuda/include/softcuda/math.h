// Arithmetic intrinsics: the integer ones exact, the float ones by the host's library, whose last bit may differ from a
// GPU's. The fast ones (`__expf`, `__fdividef`, ...) are here the accurate functions: a test against them shows the
// formula, not the error that the GPU's approximation adds.
#pragma once

#include "qualifiers.h"
#include <cmath>
#include <cstdint>
#include <cstring>

// nvcc offers these in the global namespace, for floats and doubles alike.
using std::abs;
using std::fabs;
using std::fma;
using std::fmax;
using std::fmin;
using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

#define SOFTCUDA_MIN_MAX(T) \
    constexpr T min(T a, T b) { return b < a ? b : a; } \
    constexpr T max(T a, T b) { return a < b ? b : a; }
SOFTCUDA_MIN_MAX(int)
SOFTCUDA_MIN_MAX(unsigned)
SOFTCUDA_MIN_MAX(long)
SOFTCUDA_MIN_MAX(unsigned long)
SOFTCUDA_MIN_MAX(long long)
SOFTCUDA_MIN_MAX(unsigned long long)
#undef SOFTCUDA_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

namespace softcuda {
template <class To, class From> __forceinline__ To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof(To));
    return to;
}
// CUDA's conversions of floats to integers saturate and turn NaN into 0; C++ leaves both undefined.
template <class To, class From> __forceinline__ To saturate(From value) {
    constexpr From low = static_cast<From>(static_cast<To>(To(-1) < To(0) ? To(1) << (8 * sizeof(To) - 1) : 0));
    const From high = std::ldexp(From(1), 8 * sizeof(To) - (To(-1) < To(0) ? 1 : 0));
    if (value != value) return 0;
    if (value <= low) return static_cast<To>(low);
    if (value >= high) return static_cast<To>(~(To(-1) < To(0) ? To(1) << (8 * sizeof(To) - 1) : To(0)));
    return static_cast<To>(value);
}
}

__forceinline__ unsigned __float_as_uint(float x) { return softcuda::bits<unsigned>(x); }
__forceinline__ int __float_as_int(float x) { return softcuda::bits<int>(x); }
__forceinline__ float __uint_as_float(unsigned x) { return softcuda::bits<float>(x); }
__forceinline__ float __int_as_float(int x) { return softcuda::bits<float>(x); }
__forceinline__ long long __double_as_longlong(double x) { return softcuda::bits<long long>(x); }
__forceinline__ double __longlong_as_double(long long x) { return softcuda::bits<double>(x); }

__forceinline__ int __mulhi(int a, int b) { return static_cast<int>((static_cast<int64_t>(a) * b) >> 32); }
__forceinline__ unsigned __umulhi(unsigned a,
                                  unsigned b) { return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32); }
__forceinline__ unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
__forceinline__ int __popc(unsigned x) { return __builtin_popcount(x); }
__forceinline__ int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
__forceinline__ int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }
__forceinline__ int __clzll(long long x) { return x ? __builtin_clzll(static_cast<unsigned long long>(x)) : 64; }
__forceinline__ int __ffs(int x) { return __builtin_ffs(x); }
__forceinline__ int __ffsll(long long x) { return __builtin_ffsll(x); }
__forceinline__ unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (x >> i & 1u) << (31 - i);
    return reversed;
}
__forceinline__ unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
__forceinline__ unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}

__forceinline__ int __float2int_rn(float x) { return softcuda::saturate<int>(std::nearbyint(x)); }
__forceinline__ int __float2int_rz(float x) { return softcuda::saturate<int>(std::trunc(x)); }
__forceinline__ int __float2int_rd(float x) { return softcuda::saturate<int>(std::floor(x)); }
__forceinline__ int __float2int_ru(float x) { return softcuda::saturate<int>(std::ceil(x)); }
__forceinline__ unsigned __float2uint_rn(float x) { return softcuda::saturate<unsigned>(std::nearbyint(x)); }
__forceinline__ unsigned __float2uint_rz(float x) { return softcuda::saturate<unsigned>(std::trunc(x)); }
__forceinline__ unsigned __float2uint_rd(float x) { return softcuda::saturate<unsigned>(std::floor(x)); }
__forceinline__ float __int2float_rn(int x) { return static_cast<float>(x); }
__forceinline__ float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
__forceinline__ float __ull2float_rn(unsigned long long x) { return static_cast<float>(x); }
__forceinline__ float __double2float_rn(double x) { return static_cast<float>(x); }

__forceinline__ float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
__forceinline__ float __fadd_rn(float a, float b) { return a + b; }
__forceinline__ float __fsub_rn(float a, float b) { return a - b; }
__forceinline__ float __fmul_rn(float a, float b) { return a * b; }
__forceinline__ float __fdiv_rn(float a, float b) { return a / b; }
__forceinline__ float __fsqrt_rn(float x) { return sqrtf(x); }
__forceinline__ float __frcp_rn(float x) { return 1.0f / x; }

inline float rsqrtf(float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
__forceinline__ float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }
__forceinline__ float __expf(float x) { return expf(x); }
__forceinline__ float __logf(float x) { return logf(x); }
__forceinline__ float __log2f(float x) { return log2f(x); }
__forceinline__ float __powf(float x, float y) { return powf(x, y); }
__forceinline__ float __fdividef(float a, float b) { return a / b; }
