// Interface of the stand-in libraries to the stand-in driver: pieces of work and their streams.
#pragma once

#include "softcuda_api.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>

#define STANDIN_API extern "C" __attribute__((visibility("default")))

namespace standin {

// A piece of work: returns SOFTCUDA_OK or the kind of a fault, whose message the device has.
using Work = std::function<int(softcuda_device*)>;

inline uint64_t number_from_environment(const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// The status that SOFTCUDA_STATUS plants for this function: "cuMemAlloc_v2=999" answers 999 to every call,
// "cuMemAlloc_v2=999@3" to the third and all later ones. 0 for none.
inline int planted_status(const char* function) {
    const char* planted = std::getenv("SOFTCUDA_STATUS");
    const size_t length = std::strlen(function);
    if (!planted || std::strncmp(planted, function, length) || planted[length] != '=') return 0;
    static std::atomic<long> calls = 0;
    char* rest = nullptr;
    const long status = std::strtol(planted + length + 1, &rest, 10);
    const long from = *rest == '@' ? std::strtol(rest + 1, nullptr, 10) : 1;
    return ++calls >= from ? static_cast<int>(status) : 0;
}

// True if the error of this name is planted.
inline bool is_planted(const char* error) {
    const char* planted = std::getenv("SOFTCUDA_PLANT");
    return planted && std::strcmp(planted, error) == 0;
}

}

// Begins every function: answers a planted status. Any number is a value of an enumeration with a fixed type.
#define ANSWER_PLANTED(Status) \
    if (const int planted = standin::planted_status(__func__)) return static_cast<Status>(planted)

// Appends work to a stream, or to the graph that the stream captures; not 0 on failure. Moves from `work`.
STANDIN_API int softcuda_enqueue(void* stream, standin::Work* work);
// True if the stream exists, and if this memory was allocated and not freed.
STANDIN_API bool softcuda_stream_exists(void* stream);
STANDIN_API bool softcuda_memory_exists(const void* at, size_t bytes);
// Prints on standard error why a call is refused.
STANDIN_API void softcuda_say(const char* text);
// `softcuda_check` of the kernel library.
STANDIN_API int softcuda_device_check(softcuda_device* device, const void* at, size_t bytes, softcuda_use use,
                                      const char* what);
// Calls `visit` for each kernel that has run since the last call, with the number of its launches and the bytes of global
// memory that they asked for. The driver has no such function: a program looks it up, and does without where there is
// none.
STANDIN_API void softcuda_take_counts(void (*visit)(void* context, const char* kernel, uint64_t launches,
                                                    uint64_t bytes_read, uint64_t bytes_written),
                                      void* context);
