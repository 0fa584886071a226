// Device memory, pinned host memory, copies and fills.
#include "driver.h"

#include <cstdlib>
#include <cstring>

using namespace standin;

namespace {

void* pointer(uint64_t address) { return reinterpret_cast<void*>(address); }

bool is_pinned(const void* host, size_t bytes) {
    const auto& pinned = driver().pinned;
    const auto at = reinterpret_cast<uintptr_t>(host);
    auto after = pinned.upper_bound(at);
    if (after == pinned.begin()) return false;
    const auto& [begin, size] = *std::prev(after);
    return at + bytes <= begin + size;
}

Work upload(uint64_t to, const void* from, size_t bytes) {
    return [=](softcuda_device* device) { return driver().kernels.upload(device, pointer(to), from, bytes); };
}
Work download(void* to, uint64_t from, size_t bytes) {
    return [=](softcuda_device* device) {
        if (!driver().idle) return driver().kernels.download(device, to, pointer(from), bytes);
        std::memset(to, 0, bytes);
        return int(SOFTCUDA_OK);
    };
}
Work fill(uint64_t to, unsigned char value, size_t bytes) {
    return [=](softcuda_device* device) { return driver().kernels.fill(device, pointer(to), value, bytes); };
}

// A synchronous copy is work of the null stream. It and non-blocking streams do not wait for each other.
Result at_once(const char* what, Work work) {
    if (const Result result = Call().ready()) return result;
    if (refused_by_capture(what)) return STREAM_CAPTURE_UNSUPPORTED;
    if (const Result result = enqueue(nullptr, std::move(work))) return result;
    return drain(*driver().null_stream);
}

}

bool softcuda_memory_exists(const void* at, size_t bytes) {
    Call call;
    const auto begin = reinterpret_cast<uintptr_t>(at);
    auto after = call.d.allocations.upper_bound(begin);
    if (after == call.d.allocations.begin()) return false;
    const auto& [first, size] = *std::prev(after);
    return begin + bytes <= first + size;
}

STANDIN_API Result cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (bytes == 0) return INVALID_VALUE;
    if (refused_by_capture("cuMemAlloc")) return STREAM_CAPTURE_UNSUPPORTED;
    if (++call.d.allocs >= call.d.failing_alloc && call.d.failing_alloc) return OUT_OF_MEMORY;
    if (bytes > call.d.memory - call.d.memory_used) return OUT_OF_MEMORY;
    void* memory = nullptr;
    const std::string name = "allocation " + std::to_string(call.d.allocations.size() + 1);
    if (call.d.kernels.alloc(call.d.device, bytes, name.c_str(), &memory)) return OUT_OF_MEMORY;
    *address = reinterpret_cast<uint64_t>(memory);
    call.d.allocations[*address] = bytes;
    call.d.memory_used += bytes;
    constexpr uint64_t early = 100;  // of a training step, in a small network
    if (call.d.allocs == early && is_planted("freed-early")) call.d.kernels.free(call.d.device, memory);
    return SUCCESS;
}

// Waits for all work, as the driver does.
STANDIN_API Result cuMemFree_v2(uint64_t address) {
    ANSWER_PLANTED(Result);
    Call call;
    if (!call.d.device) return NOT_INITIALIZED;
    if (address == 0) return SUCCESS;
    if (refused_by_capture("cuMemFree")) return STREAM_CAPTURE_UNSUPPORTED;
    const auto found = call.d.allocations.find(address);
    if (found == call.d.allocations.end()) return INVALID_VALUE;
    const Result drained = drain_all();
    call.d.kernels.free(call.d.device, pointer(address));
    call.d.races.forget(address, address + found->second);
    call.d.memory_used -= found->second;
    call.d.allocations.erase(found);
    return drained;
}

STANDIN_API Result cuMemGetInfo_v2(size_t* free, size_t* total) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *free = call.d.memory - call.d.memory_used;
    *total = call.d.memory;
    return SUCCESS;
}

STANDIN_API Result cuMemHostAlloc(void** host, size_t bytes, unsigned) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *host = std::malloc(bytes ? bytes : 1);
    if (!*host) return OUT_OF_MEMORY;
    std::memset(*host, 0xff, bytes);  // NaN, so that a read without a wait for the copy shows
    call.d.pinned[reinterpret_cast<uintptr_t>(*host)] = bytes;
    return SUCCESS;
}

STANDIN_API Result cuMemFreeHost(void* host) {
    ANSWER_PLANTED(Result);
    Call call;
    if (!call.d.pinned.erase(reinterpret_cast<uintptr_t>(host))) return INVALID_VALUE;
    const Result drained = drain_all();
    std::free(host);
    return drained;
}

STANDIN_API Result cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
    ANSWER_PLANTED(Result);
    Call call;
    return at_once("cuMemcpyHtoD", upload(to, from, bytes));
}

STANDIN_API Result cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
    ANSWER_PLANTED(Result);
    Call call;
    return at_once("cuMemcpyDtoH", download(to, from, bytes));
}

STANDIN_API Result cuMemsetD8_v2(uint64_t to, unsigned char value, size_t count) {
    ANSWER_PLANTED(Result);
    Call call;
    return at_once("cuMemsetD8", fill(to, value, count));
}

// From pageable memory the driver copies before it returns; pinned memory is read when the stream gets there.
STANDIN_API Result cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    const Stream* s = find_stream(stream);
    if (is_pinned(from, bytes) || (s && s->capture)) return enqueue(stream, upload(to, from, bytes));
    const auto* begin = static_cast<const char*>(from);
    auto copy = std::make_shared<std::vector<char>>(begin, begin + bytes);
    return enqueue(stream, [=](softcuda_device* device) {
        return driver().kernels.upload(device, pointer(to), copy->data(), copy->size());
    });
}

// Later than the driver into pageable memory, so that reading without a wait shows.
STANDIN_API Result cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    return enqueue(stream, download(to, from, bytes));
}

STANDIN_API Result cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    return enqueue(stream, [=](softcuda_device* device) {
        if (driver().idle) return int(SOFTCUDA_OK);
        std::vector<char> copy(bytes);
        const int fault = driver().kernels.download(device, copy.data(), pointer(from), bytes);
        return fault ? fault : driver().kernels.upload(device, pointer(to), copy.data(), bytes);
    });
}

STANDIN_API Result cuMemsetD8Async(uint64_t to, unsigned char value, size_t count, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    return enqueue(stream, fill(to, value, count));
}

STANDIN_API Result cuMemsetD32Async(uint64_t to, unsigned value, size_t count, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    return enqueue(stream, [=](softcuda_device* device) {
        const std::vector<unsigned> values(count, value);
        return driver().kernels.upload(device, pointer(to), values.data(), count * sizeof(unsigned));
    });
}
