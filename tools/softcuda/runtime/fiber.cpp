#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace softcuda {

#ifdef SOFTCUDA_UCONTEXT

void prepare(Fiber& fiber, char* stack, std::size_t bytes, void (*entry)()) {
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stack;
    fiber.context.uc_stack.ss_size = bytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, entry, 0);
}

void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

#else

// The System V ABI lets a callee change everything but rbx, rbp, r12 to r15 and the stack pointer (kernels do not
// touch the floating-point control words), so these and the return address are all that a fiber needs to keep.
asm(R"(
    .text
    .p2align 4
    .hidden softcuda_switch
    .globl softcuda_switch
    .type softcuda_switch, @function
softcuda_switch:
    .cfi_startproc
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .cfi_endproc
    .size softcuda_switch, .-softcuda_switch
)");

extern "C" void softcuda_switch(Fiber* from, Fiber* to);

void prepare(Fiber& fiber, char* stack, std::size_t bytes, void (*entry)()) {
    uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + bytes) & ~uintptr_t(15);
    auto* frame = reinterpret_cast<void**>(top);
    *--frame = nullptr;  // where a call would have left its return address: a debugger's backtrace ends here
    *--frame = reinterpret_cast<void*>(entry);
    for (int registers = 0; registers < 6; registers++) *--frame = nullptr;
    fiber.stack_pointer = frame;
}

void switch_fiber(Fiber& from, Fiber& to) { softcuda_switch(&from, &to); }

#endif

Stacks::~Stacks() {
    if (base_) munmap(base_, bytes());
}

void Stacks::swap(Stacks& other) {
    std::swap(base_, other.base_);
    std::swap(count_, other.count_);
    std::swap(guard_, other.guard_);
    std::swap(stride_, other.stride_);
}

bool Stacks::reserve(std::size_t count) {
    if (count <= count_) return true;
    if (base_) munmap(base_, bytes());
    guard_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    stride_ = guard_ + stack_bytes;
    void* base = mmap(nullptr, count * stride_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
    base_ = base == MAP_FAILED ? nullptr : static_cast<char*>(base);
    count_ = base_ ? count : 0;
    for (std::size_t i = 0; i < count_; i++) mprotect(base_ + i * stride_, guard_, PROT_NONE);
    return base_ != nullptr;
}

}
