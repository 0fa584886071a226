// The events of one block of a launch, in the order of the run: for a picture of it, or for another study.
#pragma once

#include "shadow.h"
#include "softcuda_api.h"

#include <vector>

namespace softcuda {

class Trace {
public:
    struct Event {
        softcuda_event_kind kind;
        uint32_t thread;  // of a passed warp operation: the first thread of the warp
        uint32_t count;   // as in softcuda_event
        const char* operation = nullptr;
        const char* file = nullptr;  // the source line of a wait
        int line = 0;
        const void* pc = nullptr;  // of an access
        const Region* region = nullptr;
        std::size_t offset = 0;
    };

    // Forgets the events of an earlier launch, and records at most `limit`.
    void begin(std::size_t limit) {
        events_.clear();
        limit_ = limit;
        lost_ = 0;
    }
    void add(const Event& event) {
        if (events_.size() < limit_) events_.push_back(event);
        else lost_++;
    }
    const std::vector<Event>& events() const { return events_; }
    uint64_t lost() const { return lost_; }

private:
    std::vector<Event> events_;
    std::size_t limit_ = 0;
    uint64_t lost_ = 0;
};

}
