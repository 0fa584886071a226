// memcpy, memset and memmove of a kernel, under other names so that the runtime sees the bytes they touch. The compiler
// still turns short ones of known length into plain loads and stores.
#pragma once

#include <cstring>

extern "C" {
void* memcpy(void* __restrict, const void* __restrict, std::size_t) noexcept __asm__("softcuda_memcpy");
void* memmove(void*, const void*, std::size_t) noexcept __asm__("softcuda_memmove");
void* memset(void*, int, std::size_t) noexcept __asm__("softcuda_memset");
}
