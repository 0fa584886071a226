// A stand-in for the CUDA driver, libcuda.so.1, on top of the host build of the kernels.
//
// It follows the driver's rules where a program could break them unnoticed: work in a stream runs as late as
// possible, when the program waits for it, so that a missing wait reads old bytes; an error of a kernel shows in a
// later call and stays; a call that a capture forbids is refused and invalidates the capture. All work runs during a
// call and on its thread, except large products, which the other libraries share among threads.
//
// The kernels come from the library that the environment variable SOFTCUDA_KERNELS names: loading any module gives
// these. The other stand-in libraries put their work into the same streams by way of `enqueue`.
#pragma once

#include "../work.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// The values of cuda.h's CUresult that are in use here.
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_ILLEGAL = 903,
    STREAM_CAPTURE_WRONG_MODE = 908,
};

namespace standin {

struct Graph {
    std::vector<Work> nodes;
};

struct Stream {
    bool blocking = true;  // waits for the null stream and the other way round
    std::deque<Work> queue;
    uint64_t enqueued = 0, done = 0;
    std::unique_ptr<Graph> capture;  // graph under capture, if any
    int capture_mode = 0;
    bool capture_spoiled = false;
};

struct Event {
    Stream* stream = nullptr;
    uint64_t position = 0;  // pieces of the stream's work that the event waits for
    std::shared_ptr<double> time = std::make_shared<double>(-1.0);  // in milliseconds, when it was reached
};

// The functions of the kernel library (softcuda_api.h).
struct Kernels {
    decltype(&softcuda_open) open;
    decltype(&softcuda_message) message;
    decltype(&softcuda_alloc) alloc;
    decltype(&softcuda_free) free;
    decltype(&softcuda_upload) upload;
    decltype(&softcuda_download) download;
    decltype(&softcuda_fill) fill;
    decltype(&softcuda_check) check;
    decltype(&softcuda_kernel_name) kernel_name;
    decltype(&softcuda_kernel_parameters) kernel_parameters;
    decltype(&softcuda_resident_blocks) resident_blocks;
    decltype(&softcuda_launch) launch;
};

struct Driver {
    std::recursive_mutex lock;
    Kernels kernels{};
    softcuda_device* device = nullptr;
    Stream null_stream;
    std::vector<std::unique_ptr<Stream>> streams;
    std::map<uintptr_t, size_t> allocations, pinned;
    int device_count = 1;                // or none
    size_t memory = 0, memory_used = 0;  // bytes
    uint64_t allocs = 0;                 // calls so far
    uint64_t failing_alloc = 0;          // the first call that finds no memory, whatever there is; 0 for none
    Result sticky = SUCCESS;             // an error of work that ran; every later call reports it
    uint64_t launches = 0;               // seeds the order of threads, together with SOFTCUDA_SEED
    uint64_t seed = 0;
    int multiprocessors = 1;
    bool cooperative = true;             // whether the device has cooperative launches
};

Driver& driver();
// Entered by every function: takes the lock, and reports errors of earlier work.
struct Call {
    std::lock_guard<std::recursive_mutex> held;
    Driver& d;
    Call() : held(driver().lock), d(driver()) {}
    Result ready() const { return !d.device ? NOT_INITIALIZED : d.sticky; }
};

// Prints a line that begins with "softcuda: " on standard error.
void say(const std::string& text);
// The stream of a handle; null for an invalid handle.
Stream* find_stream(void* handle);
// True if an active capture forbids the caller's operation; the capture is then invalidated.
bool refused_by_capture(const char* what);
// Appends work to a stream, or to the graph that the stream captures.
Result enqueue(void* stream, Work work);
// Runs a stream's work up to `position`.
Result drain(Stream& stream, uint64_t position);
Result drain_all();

}
