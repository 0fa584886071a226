// Which bytes of device memory a piece of work has accessed, for a driver that looks for races between streams.
//
// A kernel's accesses are bits, one for each byte read and one for each byte written, and become ranges when they are
// taken. Copies and library functions access whole ranges, and say for what.
#pragma once

#include "shadow.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace softcuda {

// The bytes of one region that a kernel has read and written so far.
class Marks {
public:
    explicit Marks(std::size_t bytes);
    ~Marks();
    Marks(const Marks&) = delete;

    // `count` is at most 64.
    void set(std::size_t offset, std::size_t count, bool write) {
        uint64_t* bits = bits_[write] + (offset >> 6);
        const unsigned first = offset & 63;
        const uint64_t all = count == 64 ? ~uint64_t(0) : (uint64_t(1) << count) - 1;
        bits[0] |= all << first;
        if (first + count > 64) bits[1] |= all >> (64 - first);
        low_ = std::min(low_, offset >> 6);
        high_ = std::max(high_, (offset + count + 63) >> 6);
    }
    // Calls range(begin, end, write) for each range of marked bytes, in ascending order, and removes the marks.
    template <class F> void take(F range);

private:
    std::size_t words_;
    uint64_t* bits_[2];  // read, written
    std::size_t low_ = ~std::size_t(0), high_ = 0;  // marked words
};

class Accesses {
public:
    struct Range {
        const Region* region;
        std::size_t begin, end;
        bool write;
        std::string what;
    };

    bool watched = false;

    void mark(Region& region, std::size_t offset, std::size_t count, bool write) {
        if (!region.marks) {
            region.marks = new Marks(region.bytes);
            marked_.push_back(&region);
        } else if (!region.is_marked) {
            marked_.push_back(&region);
        }
        region.is_marked = true;
        for (; count > 64; offset += 64, count -= 64) region.marks->set(offset, 64, write);
        region.marks->set(offset, count, write);
    }
    void note(const Region& region, std::size_t offset, std::size_t count, bool write, const char* what) {
        if (watched && count) ranges_.push_back({&region, offset, offset + count, write, what});
    }
    // Names the kernel whose accesses are marked.
    void begin_kernel(const char* name) { kernel_ = std::string("kernel ") + name; }
    // All accesses since the last call.
    std::vector<Range> take();

private:
    std::vector<Region*> marked_;
    std::vector<Range> ranges_;
    std::string kernel_;
};

}
