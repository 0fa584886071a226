// Vector clocks: which work comes before which, by the order of streams, events and waits of the host alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace standin {

// For each chain (a sequence of ordered work) the number of its pieces of work that come before.
class Clock {
public:
    uint64_t at(uint32_t chain) const { return chain < ticks_.size() ? ticks_[chain] : 0; }
    void tick(uint32_t chain) {
        if (chain >= ticks_.size()) ticks_.resize(chain + 1);
        ++ticks_[chain];
    }
    void set(uint32_t chain, uint64_t tick) {
        if (chain >= ticks_.size()) ticks_.resize(chain + 1);
        ticks_[chain] = tick;
    }
    void join(const Clock& other) {
        if (other.ticks_.size() > ticks_.size()) ticks_.resize(other.ticks_.size());
        for (size_t i = 0; i < other.ticks_.size(); i++) ticks_[i] = std::max(ticks_[i], other.ticks_[i]);
    }

private:
    std::vector<uint64_t> ticks_;
};

// A piece of work: its chain, and its clock, which counts itself.
struct Stamp {
    uint32_t chain = 0;
    Clock clock;
    uint64_t tick() const { return clock.at(chain); }
};

}
