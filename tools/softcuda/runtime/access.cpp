// Entry points of the compiler's instrumentation, which reports every load and store of a kernel.
//
// The .cu files are compiled with -fsanitize=thread, which makes g++ and clang++ put a call in front of each memory
// access; nothing of ThreadSanitizer itself is linked, the calls end here. -fsanitize=alignment,bounds and
// integer-divide-by-zero add checks whose failures end here as well; they know their source line. memcpy, memset and
// memmove get names of ours in memory.h, because only short ones of known length are compiled into accesses.
#include "block.h"

#include <cstring>

using softcuda::Access;
using softcuda::Block;

namespace {

template <Access access> inline void touch(const void* address, std::size_t bytes, const void* pc) {
    if (Block* block = softcuda::running()) block->touch<access>(reinterpret_cast<uintptr_t>(address), bytes, pc);
}

// Faults have functions of their own: their strings would take room on the stack in front of each access.
[[noreturn, gnu::cold, gnu::noinline]] void misaligned(Block& block, Access access, std::size_t bytes, const void* pc) {
    block.fail(SOFTCUDA_MISALIGNED,
               std::string(access == Access::Read ? "read" : "write") + " of " + std::to_string(bytes) +
                   " bytes at an address that is no multiple of " + std::to_string(bytes) +
                   "; a GPU loads only aligned values, use a narrower type",
               softcuda::source_line(pc));
}

template <Access access> inline void touch_aligned(const void* address, std::size_t bytes, const void* pc) {
    Block* block = softcuda::running();
    if (!block) return;
    if (reinterpret_cast<uintptr_t>(address) & (bytes - 1)) misaligned(*block, access, bytes, pc);
    block->touch<access>(reinterpret_cast<uintptr_t>(address), bytes, pc);
}

struct SourceLocation {
    const char* file;
    uint32_t line, column;
};
struct TypeDescriptor {
    uint16_t kind, info;
    char name[1];
};
struct TypeMismatch {
    SourceLocation location;
    const TypeDescriptor* type;
    unsigned char log_alignment, check;
};
struct OutOfBounds {
    SourceLocation location;
    const TypeDescriptor *array, *index;
};
struct Overflow {
    SourceLocation location;
    const TypeDescriptor* type;
};

std::string at(const SourceLocation& location) { return std::string(location.file) + ":" +
                                                std::to_string(location.line); }

// Host code of a .cu file must not get here with a fault; there is no launch to end.
Block& block_or_abort() {
    if (Block* block = softcuda::running()) return *block;
    __builtin_trap();
}

}

namespace softcuda {
void atomic_access(const void* address, unsigned bytes, const void* pc) { touch_aligned<Access::Atomic>(address,
                                                                                                        bytes, pc); }
}

extern "C" {

#define SIZE(n) \
    void __tsan_read##n(void* p) { touch_aligned<Access::Read>(p, n, __builtin_return_address(0)); } \
    void __tsan_write##n(void* p) { touch_aligned<Access::Write>(p, n, __builtin_return_address(0)); } \
    void __tsan_unaligned_read##n(void* p) { touch<Access::Read>(p, n, __builtin_return_address(0)); } \
    void __tsan_unaligned_write##n(void* p) { touch<Access::Write>(p, n, __builtin_return_address(0)); } \
    void __tsan_volatile_read##n(void* p) { touch_aligned<Access::Read>(p, n, __builtin_return_address(0)); } \
    void __tsan_volatile_write##n(void* p) { touch_aligned<Access::Write>(p, n, __builtin_return_address(0)); }
SIZE(1)
SIZE(2)
SIZE(4)
SIZE(8)
SIZE(16)
#undef SIZE

void __tsan_read_range(void* p, unsigned long n) { touch<Access::Read>(p, n, __builtin_return_address(0)); }
void __tsan_write_range(void* p, unsigned long n) { touch<Access::Write>(p, n, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

void* softcuda_memcpy(void* to, const void* from, size_t n) {
    if (n) touch<Access::Read>(from, n, __builtin_return_address(0)), touch<Access::Write>(to, n,
                                                                                           __builtin_return_address(0));
    return std::memcpy(to, from, n);
}
void* softcuda_memmove(void* to, const void* from, size_t n) {
    if (n) touch<Access::Read>(from, n, __builtin_return_address(0)), touch<Access::Write>(to, n,
                                                                                           __builtin_return_address(0));
    return std::memmove(to, from, n);
}
void* softcuda_memset(void* to, int value, size_t n) {
    if (n) touch<Access::Write>(to, n, __builtin_return_address(0));
    return std::memset(to, value, n);
}
void* __tsan_memcpy(void* to, const void* from, size_t n) { return softcuda_memcpy(to, from, n); }
void* __tsan_memmove(void* to, const void* from, size_t n) { return softcuda_memmove(to, from, n); }
void* __tsan_memset(void* to, int value, size_t n) { return softcuda_memset(to, value, n); }

void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch* data, uintptr_t address) {
    const unsigned long alignment = 1ul << data->log_alignment;
    Block& block = block_or_abort();
    if (!address)
        block.fail(SOFTCUDA_OUT_OF_BOUNDS, std::string("access of ") + data->type->name + " through a null pointer",
        at(data->location));
    block.fail(SOFTCUDA_MISALIGNED, std::string("access of ") + data->type->name +
               " at an address that is no multiple of " +
               std::to_string(alignment) + " (it is " + std::to_string(address % alignment) +
               " past one); a GPU loads only aligned values, align the offset or use a narrower type",
               at(data->location));
}

void __ubsan_handle_out_of_bounds_abort(OutOfBounds* data, unsigned long index) {
    block_or_abort().fail(SOFTCUDA_OUT_OF_BOUNDS, "index " + std::to_string(static_cast<long long>(index)) +
                          " is outside of an array of type " +
                          data->array->name + "; check the index against the size", at(data->location));
}

void __ubsan_handle_divrem_overflow_abort(Overflow* data, unsigned long, unsigned long) {
    block_or_abort().fail(SOFTCUDA_ARITHMETIC,
                          std::string("integer division by zero (or of the lowest value by -1) in type ") +
                          data->type->name, at(data->location));
}

}
