// Definitions for all kernels: types, reductions in a fixed order, and loads of 16 bytes.
//
// Conventions of all kernels; the host build (tools/softcuda) checks those that can be checked:
// - Every buffer begins at a multiple of 16 bytes; sizes are arbitrary.
// - A block has a multiple of 32 threads, at most 1,024, unless the comment of the kernel gives its block.
// - No floating-point atomics: every sum has a fixed order, so that two runs agree bit for bit.
// - Values that change from step to step (learning rates, the step number) are read through a pointer, so that a
//   captured graph can be replayed.
#pragma once

#include <cuda_bf16.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __SOFTCUDA__
#define SOFTCUDA_KERNELS(...)  // only the host build needs the names of the kernels
#endif

// Marks a kernel's pointer that may be null: build/signatures.rs makes an Option of it.
#define NULLABLE

using bf16 = __nv_bfloat16;

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int LANES = 32;

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }

template <class T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) { return __float2bfloat16(x); }

// The index of this thread in the grid and the number of threads, for grid-stride loops.
__device__ __forceinline__ size_t thread_of_grid() {
    return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ size_t threads_of_grid() { return static_cast<size_t>(gridDim.x) * blockDim.x; }

// ---- Reductions.
// -----------------------------------------------------------------------------------------------------
//
// A butterfly of shuffles gives every lane the same bits: at each distance two lanes combine the same two values, and
// the operations below commute.

struct Sum {
    template <class T> __device__ __forceinline__ T operator()(T a, T b) const { return a + b; }
};
// The maximum of a NaN and a number is the number, as in fmaxf; likewise the minimum.
struct Max {
    __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Min {
    __device__ __forceinline__ float operator()(float a, float b) const { return fminf(a, b); }
};

template <class T> __device__ __forceinline__ T shuffle_xor(T value, int lanes) {
    return __shfl_xor_sync(ALL_LANES, value, lanes);
}

// ANCHOR: reduce
// All lanes of a warp receive the reduction of their values. `T` is a number, or a structure with a `shuffle_xor`.
template <class Op, class T> __device__ __forceinline__ T warp_reduce(T value, Op op = Op()) {
#pragma unroll
    for (int lanes = LANES / 2; lanes > 0; lanes /= 2) value = op(value, shuffle_xor(value, lanes));
    return value;
}

// All threads of a block receive the reduction of their values. `identity` op x is x. `scratch` is shared memory for 32
// values, which are overwritten.
template <class Op, class T>
__device__ __forceinline__ T block_reduce(T value, T identity, T* scratch, Op op = Op()) {
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
    value = warp_reduce(value, op);
    __syncthreads();  // other threads may still read an earlier reduction
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    return warp_reduce(lane < warps ? scratch[lane] : identity, op);
}
// ANCHOR_END: reduce

// All lanes of a warp call f(j, value(j)) for each j of 0..n whose value is not 0, in ascending order. One lane calls
// `value` for each j. For one-dimensional blocks.
template <class Value, class F> __device__ __forceinline__ void for_each_nonzero(int n, Value value, F f) {
    const int lane = threadIdx.x % LANES;
    for (int first = 0; first < n; first += LANES) {
        const float own = first + lane < n ? value(first + lane) : 0.0f;
        for (unsigned left = __ballot_sync(ALL_LANES, own != 0.0f); left != 0; left &= left - 1) {
            const int next = __ffs(left) - 1;
            f(first + next, __shfl_sync(ALL_LANES, own, next));
        }
    }
}

// ---- Memory in packs of 16 bytes, the widest a thread can load at once.
// -----------------------------------------------

template <class T, int N> struct alignas(sizeof(T) * N) Pack {
    T at[N];
};

template <int N> struct Width {
    static constexpr int value = N;
};

// The number of elements in 16 bytes.
template <class T> constexpr int PACK = 16 / sizeof(T);

template <int N, class T> __device__ __forceinline__ Pack<T, N> load(const T* from) {
    return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T> __device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// Loads or stores N elements as floats, at most 16 bytes at a time: 8 elements are one access of bf16 and two of f32,
// so that one loop can process buffers of both types.
template <int N, class T> __device__ __forceinline__ Pack<float, N> load_floats(const T* from) {
    constexpr int STEP = N < PACK<T> ? N : PACK<T>;
    Pack<float, N> floats;
#pragma unroll
    for (int first = 0; first < N; first += STEP) {
        const auto pack = load<STEP>(from + first);
#pragma unroll
        for (int k = 0; k < STEP; ++k) floats.at[first + k] = to_float(pack.at[k]);
    }
    return floats;
}
template <int N, class T> __device__ __forceinline__ void store_floats(T* to, const Pack<float, N>& floats) {
    constexpr int STEP = N < PACK<T> ? N : PACK<T>;
#pragma unroll
    for (int first = 0; first < N; first += STEP) {
        Pack<T, STEP> pack;
#pragma unroll
        for (int k = 0; k < STEP; ++k) pack.at[k] = from_float<T>(floats.at[first + k]);
        store<STEP>(to + first, pack);
    }
}

// Loads four elements of a row of x [rows, columns] from `column` on, a multiple of 4; 0 outside of the matrix.
__device__ __forceinline__ Pack<float, 4> load_or_zero(const float* __restrict__ x, int row, int column, int rows,
                                                       int columns) {
    Pack<float, 4> pack = {};
    if (row >= rows) return pack;
    const float* at = x + static_cast<size_t>(row) * columns + column;
    if (columns % 4 == 0) {
        if (column < columns) pack = load<4>(at);
    } else {
        for (int k = 0; k < 4; ++k) {
            if (column + k < columns) pack.at[k] = at[k];
        }
    }
    return pack;
}

// The new content of a gradient: `value` from the first writer, old + value from a later one.
template <class T> __device__ __forceinline__ T merged(T old, float value, bool accumulate) {
    return from_float<T>(accumulate ? to_float(old) + value : value);
}

// A loop over the elements 0..n, shared by all threads of the grid: calls f(first, Width<N>) for packs of N elements of
// T, then f(i, Width<1>) for the rest. The packs begin at multiples of N, so they are aligned in every buffer of
// elements no wider than T.
template <class T, class F> __device__ __forceinline__ void for_each_of_grid(size_t n, F f) {
    constexpr int N = PACK<T>;
    const size_t packs = n / N, stride = threads_of_grid();
    for (size_t pack = thread_of_grid(); pack < packs; pack += stride) f(pack * N, Width<N>());
    for (size_t i = packs * N + thread_of_grid(); i < n; i += stride) f(i, Width<1>());
}

// A loop over the elements 0..n of a row of any alignment, shared by the threads of a block: calls f(i, Width<1>) up to
// the first multiple of 16 bytes, then f for packs, then f(i, Width<1>) for the rest. Rows of other buffers of T at the
// same offset have the same alignment.
template <class T, class F> __device__ __forceinline__ void for_each_of_row(const T* row, int n, F f) {
    constexpr int N = PACK<T>;
    const int misaligned = reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T);
    const int head = min(n, (N - misaligned) % N);
    const int tail = head + (n - head) / N * N;
    if (static_cast<int>(threadIdx.x) < head) f(threadIdx.x, Width<1>());
    for (int i = head + threadIdx.x * N; i < tail; i += blockDim.x * N) f(i, Width<N>());
    if (static_cast<int>(threadIdx.x) < n - tail) f(tail + threadIdx.x, Width<1>());
}
