// What the runtime knows about the shared library that it is linked into: its kernels, its own variables, and its
// `__shared__` arrays.
#pragma once

#include "softcuda/kernels.h"
#include "shadow.h"

#include <string>
#include <vector>

namespace softcuda {

struct Kernel {
    std::string name;
    Function function;
    Thunk thunk;
    std::vector<Parameter> parameters;
    std::string description;  // "p8i4": see softcuda_kernel_parameters
};

const std::vector<Kernel>& kernels();
const Kernel* find_kernel(const char* name);

// A `__shared__` array: a thread-local variable of the library, at the same offset in every host thread's block of
// thread-local variables.
struct SharedArray {
    std::string name;
    std::size_t offset, bytes;
    bool dynamic;
};

struct Image {
    std::string path;
    uintptr_t load_address = 0;
    uintptr_t begin = 0, end = 0;  // the library's mapped segments: constants and `__device__` variables
    std::size_t thread_local_bytes = 0;
    std::vector<SharedArray> arrays;
};

// Read once from the library's file; an empty path when that cannot be read.
const Image& image();

// The calling host thread's block of thread-local variables.
uintptr_t thread_local_block();

// "softmax.cu:42" for a return address in the library, by way of binutils' addr2line; empty when that is not there.
std::string source_line(const void* pc);

// That line, and those of the functions into which the compiler put it, the innermost first.
std::vector<std::string> source_lines(const void* pc);

}
