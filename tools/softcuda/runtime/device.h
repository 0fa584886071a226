// A device: its memory, and its last error.
//
// All buffers come from one reserved range of addresses that is never reused, so a pointer into or beside a freed
// buffer is recognised. Each buffer has a guard page before and after it.
#pragma once

#include "accesses.h"
#include "shadow.h"
#include "trace.h"

#include <deque>
#include <memory>
#include <string>

namespace softcuda {

class Memory {
public:
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t reserved = std::size_t(64) << 30;

    Memory();
    ~Memory();
    Memory(const Memory&) = delete;

    bool usable() const { return base_ != 0; }
    bool contains(uintptr_t address) const { return address - base_ < reserved; }
    Region* allocate(std::size_t bytes, const char* name);
    void release(Region& region);
    // The buffer that an address of the stretch belongs to, or lies beside; null in the part never given out.
    Region* find(uintptr_t address) { return by_number(numbers_[(address - base_) / page]); }
    void forget_times();

private:
    struct Buffer {
        Region region;
        std::string name;
    };
    Region* by_number(uint32_t number) { return number ? &buffers_[number - 1].region : nullptr; }

    uintptr_t base_ = 0;
    std::size_t used_ = 0;
    uint32_t* numbers_ = nullptr;  // for each page, 1 + the number of its buffer
    std::deque<Buffer> buffers_;
};

}

struct softcuda_device {
    softcuda::Memory memory;
    std::string message;
    softcuda::Accesses accesses;
    softcuda::Trace trace;  // of the last launch that had one
    uint32_t last_interval = 0;  // that its buffers may remember
};
