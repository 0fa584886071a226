#include "block.h"

namespace softcuda {

void Block::observe(Region& region, std::size_t offset, std::size_t bytes, Access access, const void* pc) {
    if (device_->accesses.watched && !region.shared)
        device_->accesses.mark(region, offset, bytes, access != Access::Read);
    if (!trace_) return;
    const softcuda_event_kind kind = access == Access::Read    ? SOFTCUDA_EVENT_READ
                                     : access == Access::Write ? SOFTCUDA_EVENT_WRITE
                                                               : SOFTCUDA_EVENT_ATOMIC;
    trace_->add({kind, clock_.thread, static_cast<uint32_t>(bytes), nullptr, nullptr, 0, pc, &region, offset});
}

void Block::trace_wait(softcuda_event_kind kind, const char* operation, Site site) {
    trace_->add({kind, clock_.thread, 1, operation, site.file, site.line});
}

void Block::trace_pass(softcuda_event_kind kind, uint32_t first, uint32_t count, const char* operation, Site site) {
    trace_->add({kind, first, count, operation, site.file, site.line});
}

}
