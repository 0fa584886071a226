// Integer atomics. Only integers: a floating-point sum by atomics depends on the order of the threads, so asking for
// one is a compile error with the reason in it.
#pragma once

#include "qualifiers.h"
#include <type_traits>

namespace softcuda {

// Reports an atomic access to the race detector; the fibers of a block share one host thread, so a plain
// read-modify-write is indivisible.
void atomic_access(const void* address, unsigned bytes, const void* pc);

template <class T, class Op> SOFTCUDA_NOT_A_KERNEL inline T atomic_update(T* address, const void* pc, Op op) {
    static_assert(std::is_integral_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                  "softcuda has no floating-point atomics: their sum depends on the order of the threads; "
                  "reduce in a fixed order instead (shuffles, then shared memory, then a second kernel)");
    atomic_access(address, sizeof(T), pc);
    T old = *address;
    *address = op(old);
    return old;
}

}

#define SOFTCUDA_ATOMIC(name, expression) \
    template <class T> __noinline__ SOFTCUDA_NOT_A_KERNEL T name(T* address, std::type_identity_t<T> value) { \
        return softcuda::atomic_update(address, __builtin_return_address(0),            \
                                       [value](T old) -> T { return expression; });      \
    }
SOFTCUDA_ATOMIC(atomicAdd, old + value)
SOFTCUDA_ATOMIC(atomicSub, old - value)
SOFTCUDA_ATOMIC(atomicMax, old < value ? value : old)
SOFTCUDA_ATOMIC(atomicMin, value < old ? value : old)
SOFTCUDA_ATOMIC(atomicOr, old | value)
SOFTCUDA_ATOMIC(atomicAnd, old & value)
SOFTCUDA_ATOMIC(atomicXor, old ^ value)
SOFTCUDA_ATOMIC(atomicExch, value)
#undef SOFTCUDA_ATOMIC

template <class T>
__noinline__ SOFTCUDA_NOT_A_KERNEL T atomicCAS(T* address, std::type_identity_t<T> expected,
std::type_identity_t<T> value) {
    return softcuda::atomic_update(address, __builtin_return_address(0), [=](T old) -> T { return old == expected
                                                                                          ? value : old; });
}
