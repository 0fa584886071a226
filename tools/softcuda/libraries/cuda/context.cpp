// Initialisation, the one device, its context, and the names of errors.
#include "driver.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

using namespace standin;

namespace standin {

Driver& driver() {
    static Driver* only = new Driver;  // never destroyed: threads may call until the process ends
    return *only;
}

void say(const std::string& text) { std::fprintf(stderr, "softcuda: %s\n", text.c_str()); }

namespace {

template <class F> bool find(void* library, const char* name, F& function) {
    function = reinterpret_cast<F>(dlsym(library, name));
    if (!function) say(std::string("the library of SOFTCUDA_KERNELS lacks ") + name);
    return function != nullptr;
}

Result open_kernels(Driver& d) {
    const char* path = std::getenv("SOFTCUDA_KERNELS");
    if (!path) {
        say("SOFTCUDA_KERNELS must name the library of kernels (softcuda::Build::compile)");
        return NO_DEVICE;
    }
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        say(dlerror());
        return NO_DEVICE;
    }
    Kernels& k = d.kernels;
    const bool complete = find(library, "softcuda_open", k.open) && find(library, "softcuda_message", k.message) &&
                          find(library, "softcuda_alloc", k.alloc) && find(library, "softcuda_free", k.free) &&
                          find(library, "softcuda_upload", k.upload) && find(library, "softcuda_download",
                          k.download) &&
                          find(library, "softcuda_fill", k.fill) && find(library, "softcuda_check", k.check) &&
                          find(library, "softcuda_watch", k.watch) &&
                          find(library, "softcuda_take_accesses", k.take_accesses) &&
                          find(library, "softcuda_kernel_name", k.kernel_name) &&
                          find(library, "softcuda_kernel_parameters", k.kernel_parameters) &&
                          find(library, "softcuda_resident_blocks", k.resident_blocks) &&
                          find(library, "softcuda_launch", k.launch);
    if (!complete) return NO_DEVICE;
    d.device = k.open();
    if (!d.device) say("cannot reserve the device's 64 GiB of addresses");
    if (d.device) k.watch(d.device);
    return d.device ? SUCCESS : NO_DEVICE;
}

// SOFTCUDA_STREAMS, or else a choice by the seed.
bool choose_order(Driver& d) {
    constexpr const char* names[] = {"needed", "others", "mixed"};
    d.random = d.seed;
    d.order = static_cast<Order>(d.seed % 3);
    const char* chosen = std::getenv("SOFTCUDA_STREAMS");
    if (!chosen || !*chosen) return true;
    for (int i = 0; i < 3; i++)
        if (std::strcmp(chosen, names[i]) == 0) return d.order = static_cast<Order>(i), true;
    say(std::string("SOFTCUDA_STREAMS=") + chosen + ": choose needed, others or mixed");
    return false;
}

// The only context's address serves as its handle.
char the_context;
thread_local void* current = nullptr;

}

}

void softcuda_say(const char* text) { say(text); }

int softcuda_device_check(softcuda_device* device, const void* at, size_t bytes, softcuda_use use, const char* what) {
    return driver().kernels.check(device, at, bytes, use, what);
}

STANDIN_API Result cuInit(unsigned flags) {
    ANSWER_PLANTED(Result);
    Call call;
    if (flags) return INVALID_VALUE;
    if (call.d.device) return SUCCESS;
    call.d.memory = number_from_environment("SOFTCUDA_MEMORY", size_t(16) << 30);
    call.d.seed = number_from_environment("SOFTCUDA_SEED", 0);
    if (!choose_order(call.d)) return INVALID_VALUE;
    call.d.failing_alloc = number_from_environment("SOFTCUDA_FAIL_ALLOC_AFTER", 0);
    call.d.idle = number_from_environment("SOFTCUDA_IDLE", 0) != 0;
    call.d.multiprocessors = static_cast<int>(number_from_environment("SOFTCUDA_MULTIPROCESSORS", 1));
    call.d.cooperative = number_from_environment("SOFTCUDA_COOPERATIVE", 1) != 0;
    call.d.device_count = number_from_environment("SOFTCUDA_DEVICES", 1) ? 1 : 0;
    return open_kernels(call.d);
}

STANDIN_API Result cuDriverGetVersion(int* version) {
    ANSWER_PLANTED(Result);
    *version = static_cast<int>(number_from_environment("SOFTCUDA_DRIVER_VERSION", 13000));
    return SUCCESS;
}

STANDIN_API Result cuDeviceGetCount(int* count) {
    ANSWER_PLANTED(Result);
    Call call;
    *count = call.d.device_count;
    return call.d.device ? SUCCESS : NOT_INITIALIZED;
}

STANDIN_API Result cuDeviceGet(int* device, int ordinal) {
    ANSWER_PLANTED(Result);
    Call call;
    if (!call.d.device) return NOT_INITIALIZED;
    if (ordinal < 0 || ordinal >= call.d.device_count) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}

STANDIN_API Result cuDeviceGetName(char* name, int length, int device) {
    ANSWER_PLANTED(Result);
    if (device != 0) return INVALID_DEVICE;
    std::snprintf(name, static_cast<size_t>(length), "softcuda (kernels on the host)");
    return SUCCESS;
}

STANDIN_API Result cuDeviceTotalMem_v2(size_t* bytes, int device) {
    ANSWER_PLANTED(Result);
    if (device != 0) return INVALID_DEVICE;
    Call call;
    *bytes = call.d.memory;
    return SUCCESS;
}

// A small chip: grids are sized by the number of multiprocessors, and every thread costs a fiber here.
STANDIN_API Result cuDeviceGetAttribute(int* value, int attribute, int device) {
    ANSWER_PLANTED(Result);
    if (device != 0) return INVALID_DEVICE;
    Call call;
    switch (attribute) {
        case 1: *value = 1024; return SUCCESS;         // MAX_THREADS_PER_BLOCK
        case 8: *value = 48 << 10; return SUCCESS;     // MAX_SHARED_MEMORY_PER_BLOCK
        case 10: *value = 32; return SUCCESS;          // WARP_SIZE
        case 16: *value = call.d.multiprocessors; return SUCCESS;  // MULTIPROCESSOR_COUNT
        case 38: *value = 1 << 20; return SUCCESS;     // L2_CACHE_SIZE
        case 39: *value = 2048; return SUCCESS;        // MAX_THREADS_PER_MULTIPROCESSOR
        case 75: *value = 9; return SUCCESS;           // COMPUTE_CAPABILITY_MAJOR
        case 76: *value = 0; return SUCCESS;           // COMPUTE_CAPABILITY_MINOR
        case 81: *value = 228 << 10; return SUCCESS;   // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        case 95: *value = call.d.cooperative; return SUCCESS;  // COOPERATIVE_LAUNCH
        case 97: *value = 227 << 10; return SUCCESS;   // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        case 115: *value = 0; return SUCCESS;          // MEMORY_POOLS_SUPPORTED
    }
    say("cuDeviceGetAttribute: attribute " + std::to_string(attribute) + " is not supported");
    return NOT_SUPPORTED;
}

STANDIN_API Result cuDevicePrimaryCtxRetain(void** context, int device) {
    ANSWER_PLANTED(Result);
    Call call;
    if (!call.d.device) return NOT_INITIALIZED;
    if (device != 0) return INVALID_DEVICE;
    *context = &the_context;
    return SUCCESS;
}

STANDIN_API Result cuDevicePrimaryCtxRelease_v2(int device) {
    ANSWER_PLANTED(Result);
    return device == 0 ? SUCCESS : INVALID_DEVICE;
}

STANDIN_API Result cuCtxSetCurrent(void* context) {
    ANSWER_PLANTED(Result);
    if (context && context != &the_context) return INVALID_CONTEXT;
    current = context;
    return SUCCESS;
}

STANDIN_API Result cuCtxGetCurrent(void** context) {
    ANSWER_PLANTED(Result);
    *context = current;
    return SUCCESS;
}

STANDIN_API Result cuCtxSynchronize() {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (refused_by_capture("cuCtxSynchronize")) return STREAM_CAPTURE_UNSUPPORTED;
    return drain_all();
}

namespace {

struct Name {
    Result result;
    const char *name, *text;
};
constexpr Name names[] = {
    {SUCCESS, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {COOPERATIVE_LAUNCH_TOO_LARGE, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE",
     "too many blocks in cooperative launch"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
    "operation not permitted when stream is capturing"},
    {STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
    "operation failed due to a previous error during capture"},
    {STREAM_CAPTURE_MERGE, "CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"},
    {STREAM_CAPTURE_ILLEGAL, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "the capture was not initiated in this stream"},
    {STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"},
    {STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
    "dependency created on uncaptured work in another stream"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
};

}

STANDIN_API Result cuGetErrorName(Result result, const char** name) {
    ANSWER_PLANTED(Result);
    for (const Name& known : names)
        if (known.result == result) return *name = known.name, SUCCESS;
    *name = nullptr;
    return INVALID_VALUE;
}

STANDIN_API Result cuGetErrorString(Result result, const char** text) {
    ANSWER_PLANTED(Result);
    for (const Name& known : names)
        if (known.result == result) return *text = known.text, SUCCESS;
    *text = nullptr;
    return INVALID_VALUE;
}
