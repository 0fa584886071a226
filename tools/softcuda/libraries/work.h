// Interface of the stand-in libraries to the stand-in driver: pieces of work and their streams.
#pragma once

#include "softcuda_api.h"

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

// True if the error of this name is planted.
inline bool is_planted(const char* error) {
    const char* planted = std::getenv("SOFTCUDA_PLANT");
    return planted && std::strcmp(planted, error) == 0;
}

}

// Appends work to a stream, or to the graph that the stream captures; not 0 on failure. Moves from `work`.
STANDIN_API int softcuda_enqueue(void* stream, standin::Work* work);
// Prints on standard error why a call is refused.
STANDIN_API void softcuda_say(const char* text);
// `softcuda_check` of the kernel library.
STANDIN_API int softcuda_device_check(softcuda_device* device, const void* at, size_t bytes, softcuda_use use,
                                      const char* what);
