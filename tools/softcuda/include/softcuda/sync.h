// Barriers, warp shuffles and votes: the points where a fiber yields to the others.
//
// The file and line of each call travel as default arguments; an error names them.
#pragma once

#include "qualifiers.h"
#include <type_traits>

namespace softcuda {

struct Site {
    const char* file;
    int line;
};

enum class WarpOp : int { Sync, Shuffle, ShuffleUp, ShuffleDown, ShuffleXor, Ballot, Any, All };

void block_barrier(Site site);
void grid_barrier(Site site);

// One warp-wide operation of the calling thread. `bits` is its value, `lane` the source lane, delta or lane mask.
unsigned long long warp_operation(WarpOp op, unsigned mask, unsigned long long bits, unsigned lane, int width,
                                  int bytes, Site site);

template <class T>
__forceinline__ T shuffle(WarpOp op, unsigned mask, T value, unsigned lane, int width, Site site) {
    static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                  "a warp shuffle moves int, unsigned, float, double or 64-bit integers");
    unsigned long long bits = 0;
    __builtin_memcpy(&bits, &value, sizeof(T));
    bits = warp_operation(op, mask, bits, lane, width, sizeof(T), site);
    __builtin_memcpy(&value, &bits, sizeof(T));
    return value;
}

}

#define SOFTCUDA_SITE const char* file = __builtin_FILE(), int line = __builtin_LINE()

__forceinline__ void __syncthreads(SOFTCUDA_SITE) { softcuda::block_barrier({file, line}); }

__forceinline__ void __syncwarp(unsigned mask = 0xffffffffu, SOFTCUDA_SITE) {
    softcuda::warp_operation(softcuda::WarpOp::Sync, mask, 0, 0, 32, 0, {file, line});
}

// A fence orders memory but waits for no thread; the race detector does not count it as an order between threads.
__forceinline__ void __threadfence_block() {}
__forceinline__ void __threadfence() {}

template <class T> __forceinline__ T __shfl_sync(unsigned mask, T value, int lane, int width = 32, SOFTCUDA_SITE) {
    return softcuda::shuffle(softcuda::WarpOp::Shuffle, mask, value, lane, width, {file, line});
}
template <class T> __forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                                    SOFTCUDA_SITE) {
    return softcuda::shuffle(softcuda::WarpOp::ShuffleUp, mask, value, delta, width, {file, line});
}
template <class T> __forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                                      SOFTCUDA_SITE) {
    return softcuda::shuffle(softcuda::WarpOp::ShuffleDown, mask, value, delta, width, {file, line});
}
template <class T> __forceinline__ T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, SOFTCUDA_SITE) {
    return softcuda::shuffle(softcuda::WarpOp::ShuffleXor, mask, value, lanes, width, {file, line});
}

__forceinline__ unsigned __ballot_sync(unsigned mask, int predicate, SOFTCUDA_SITE) {
    return softcuda::warp_operation(softcuda::WarpOp::Ballot, mask, predicate != 0, 0, 32, 0, {file, line});
}
__forceinline__ int __any_sync(unsigned mask, int predicate, SOFTCUDA_SITE) {
    return softcuda::warp_operation(softcuda::WarpOp::Any, mask, predicate != 0, 0, 32, 0, {file, line});
}
__forceinline__ int __all_sync(unsigned mask, int predicate, SOFTCUDA_SITE) {
    return softcuda::warp_operation(softcuda::WarpOp::All, mask, predicate != 0, 0, 32, 0, {file, line});
}

#undef SOFTCUDA_SITE
