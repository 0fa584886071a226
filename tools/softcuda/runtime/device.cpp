#include "device.h"

#include <cstring>
#include <sys/mman.h>

namespace softcuda {

Memory::Memory() {
    void* base = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void* numbers = mmap(nullptr, reserved / page * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED || numbers == MAP_FAILED) return;
    base_ = reinterpret_cast<uintptr_t>(base);
    numbers_ = static_cast<uint32_t*>(numbers);
}

Memory::~Memory() {
    for (Buffer& buffer : buffers_) {
        buffer.region.unmap_cells();
        delete buffer.region.marks;
    }
    if (base_) munmap(reinterpret_cast<void*>(base_), reserved);
    if (numbers_) munmap(numbers_, reserved / page * sizeof(uint32_t));
}

Region* Memory::allocate(std::size_t bytes, const char* name) {
    const std::size_t data = (bytes + page - 1) / page * page;
    const std::size_t whole = data + 2 * page;
    if (whole > reserved - used_) return nullptr;
    const uintptr_t begin = base_ + used_ + page;
    if (data && mprotect(reinterpret_cast<void*>(begin), data, PROT_READ | PROT_WRITE)) return nullptr;
    Buffer& buffer = buffers_.emplace_back();
    buffer.name = name;
    Region& region = buffer.region;
    region.name = buffer.name.c_str();
    region.begin = begin;
    region.bytes = bytes;
    region.map_cells();
    if (bytes && !region.cells) {
        buffers_.pop_back();
        return nullptr;
    }
    // All bits set is a NaN in every float type: a result computed from it would show.
    if (bytes) std::memset(reinterpret_cast<void*>(begin), 0xff, bytes);
    for (std::size_t i = used_ / page; i < (used_ +
                                            whole) / page; i++) numbers_[i] = static_cast<uint32_t>(buffers_.size());
    used_ += whole;
    return &region;
}

void Memory::release(Region& region) {
    const std::size_t data = (region.bytes + page - 1) / page * page;
    if (data) {
        madvise(reinterpret_cast<void*>(region.begin), data, MADV_DONTNEED);
        mprotect(reinterpret_cast<void*>(region.begin), data, PROT_NONE);
    }
    region.unmap_cells();
    if (!region.is_marked) delete std::exchange(region.marks, nullptr);
    region.freed = true;
}

void Memory::forget_times() {
    for (Buffer& buffer : buffers_) buffer.region.forget_times();
}

}
