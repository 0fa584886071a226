// Fibers: stacks and the switch between them.
//
// `swapcontext` saves the signal mask by a system call: with it, kernels full of barriers and shuffles ran six to seven
// times slower than with the handwritten switch (x86-64, both in one run). Other processors than x86-64 use `ucontext`
// all the same; so does a runtime compiled with -DSOFTCUDA_UCONTEXT.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__) && !defined(SOFTCUDA_UCONTEXT)
#define SOFTCUDA_UCONTEXT 1
#endif
#ifdef SOFTCUDA_UCONTEXT
#include <ucontext.h>
#endif

namespace softcuda {

struct Fiber {
#ifdef SOFTCUDA_UCONTEXT
    ucontext_t context;
#else
    void* stack_pointer;
#endif
};

// Runs `entry` on the given stack at the next switch to `fiber`. `entry` must never return.
void prepare(Fiber& fiber, char* stack, std::size_t bytes, void (*entry)());

// Leaves the running fiber, to be continued by a later switch to `from`, and continues `to`.
void switch_fiber(Fiber& from, Fiber& to);

// Loads what a switch to `fiber` reads first.
inline void prefetch([[maybe_unused]] const Fiber& fiber) {
#ifndef SOFTCUDA_UCONTEXT
    const auto* at = static_cast<const char*>(fiber.stack_pointer);
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
#endif
}

// One mapping that holds the stacks of a block, each above a guard page that a stack overflow runs into.
class Stacks {
public:
    static constexpr std::size_t stack_bytes = 128 << 10;

    Stacks() = default;
    ~Stacks();
    Stacks(const Stacks&) = delete;
    void swap(Stacks& other);
    // Makes room for `count` stacks; false when the system has no address space left.
    bool reserve(std::size_t count);
    char* stack(std::size_t index) const { return base_ + index * stride_ + guard_; }
    // How much of a stack's top is left unused, so that the frames of all fibers do not fall into the same cache lines.
    static std::size_t colour(std::size_t index) { return index * 704 % 4096; }
    uintptr_t begin() const { return reinterpret_cast<uintptr_t>(base_); }
    std::size_t bytes() const { return count_ * stride_; }

private:
    char* base_ = nullptr;
    std::size_t count_ = 0, guard_ = 0, stride_ = 0;
};

}
