// bfloat16 as in CUDA's cuda_bf16.h: 16 bits of storage, the upper half of a float; conversions round to nearest, ties
// to even, and every NaN becomes 0x7fff.
#pragma once

#include "softcuda.h"

struct alignas(2) __nv_bfloat16_raw {
    unsigned short x;
};

struct alignas(2) __nv_bfloat16 {
    unsigned short __x;

    __nv_bfloat16() = default;
    __forceinline__ __nv_bfloat16(float value) {
        unsigned bits = __float_as_uint(value);
        // Half of the last kept place, minus one when that place is even: a tie then rounds to even.
        __x = value != value ? 0x7fff : static_cast<unsigned short>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
    }
    __forceinline__ __nv_bfloat16(__nv_bfloat16_raw raw) : __x(raw.x) {}
    __forceinline__ operator __nv_bfloat16_raw() const { return {__x}; }
    __forceinline__ operator float() const { return __uint_as_float(static_cast<unsigned>(__x) << 16); }
};

struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

__forceinline__ __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
__forceinline__ __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
__forceinline__ float __bfloat162float(__nv_bfloat16 x) { return static_cast<float>(x); }
__forceinline__ __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
__forceinline__ float2 __bfloat1622float2(__nv_bfloat162 v) { return make_float2(v.x, v.y); }
__forceinline__ float __low2float(__nv_bfloat162 v) { return v.x; }
__forceinline__ float __high2float(__nv_bfloat162 v) { return v.y; }
__forceinline__ unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.__x; }
__forceinline__ __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return __nv_bfloat16(__nv_bfloat16_raw{x}); }
