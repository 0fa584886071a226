// Registration of kernels by name.
//
// A .cu file ends in `SOFTCUDA_KERNELS(softmax_forward, softmax_backward)`; under nvcc the macro is defined empty.
// From the type of each function come a thunk that unpacks cuLaunchKernel's array of pointers to arguments, and a
// description of the parameters, so that a launch with a wrong count or type is an error and not a crash.
#pragma once

#include "qualifiers.h"
#include <cstddef>
#include <type_traits>
#include <utility>

namespace softcuda {

struct Parameter {
    char kind;  // 'p' pointer, 'f' floating point, 'i' integer, 's' structure
    unsigned bytes;
};

using Function = void (*)();
using Thunk = void (*)(Function function, void** args);

void register_kernel(const char* names, std::size_t index, Function function, Thunk thunk,
                     const Parameter* parameters, std::size_t count);

template <class A> constexpr Parameter describe() {
    char kind = std::is_pointer_v<A> ? 'p' : std::is_floating_point_v<A> ? 'f' : std::is_integral_v<A> ? 'i' : 's';
    return {kind, sizeof(A)};
}

template <class... A> struct Signature {
    template <std::size_t... I>
    SOFTCUDA_NOT_A_KERNEL static void unpack(Function function, void** args, std::index_sequence<I...>) {
        reinterpret_cast<void (*)(A...)>(function)(*static_cast<std::remove_cv_t<A>*>(args[I])...);
    }
    SOFTCUDA_NOT_A_KERNEL static void thunk(Function function, void** args) {
        unpack(function, args, std::index_sequence_for<A...>{});
    }
};

template <class... A>
bool register_one(const char* names, std::size_t index, void (*function)(A...)) {
    static constexpr Parameter parameters[sizeof...(A) + 1] = {describe<A>()...};
    register_kernel(names, index, reinterpret_cast<Function>(function), &Signature<A...>::thunk, parameters,
                    sizeof...(A));
    return true;
}

template <class... F> bool register_kernels(const char* names, F... functions) {
    std::size_t index = 0;
    return (register_one(names, index++, functions) && ...);
}

}

#define SOFTCUDA_JOIN2(a, b) a##b
#define SOFTCUDA_JOIN(a, b) SOFTCUDA_JOIN2(a, b)
#define SOFTCUDA_KERNELS(...) \
    [[maybe_unused]] static const bool SOFTCUDA_JOIN(softcuda_kernels_, __LINE__) = \
        ::softcuda::register_kernels(#__VA_ARGS__, __VA_ARGS__);
