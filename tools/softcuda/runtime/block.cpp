#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace softcuda {

namespace {

thread_local Block* current = nullptr;

const char* op_name(WarpOp op) {
    static const char* const names[] = {"__syncwarp",       "__shfl_sync",     "__shfl_up_sync", "__shfl_down_sync",
                                        "__shfl_xor_sync", "__ballot_sync", "__any_sync",      "__all_sync"};
    return names[static_cast<int>(op)];
}

std::string at(Site site) { return std::string(site.file) + ":" + std::to_string(site.line); }

std::string hex(unsigned mask) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", mask);
    return text;
}

std::string triple(unsigned x, unsigned y, unsigned z) {
    return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

// Whether both threads wait in one and the same warp operation, `a` being in one.
bool together(const Thread& a, const Thread& b) {
    return b.state == Thread::State::Warp && b.op == a.op && b.mask == a.mask && b.bytes == a.bytes;
}

}

Block* running() { return current; }

// ---- requests of a kernel ----

uint3 thread_idx() { return current ? current->thread_index : uint3{}; }
uint3 block_idx() { return current ? current->block_index : uint3{}; }
dim3 block_dim() { return current ? current->block_shape : dim3(); }
dim3 grid_dim() { return current ? current->grid_shape : dim3(); }

void block_barrier(Site site) {
    if (current) current->wait_at_barrier(site);
}

void grid_barrier(Site site) {
    if (current) current->wait_at_grid_barrier(site);
}

unsigned long long warp_operation(WarpOp op, unsigned mask, unsigned long long bits, unsigned lane, int width,
                                  int bytes,
                                  Site site) {
    return current ? current->wait_in_warp(op, mask, bits, lane, width, bytes, site) : bits;
}

// ---- a block ----

void Block::start_block() {
    done_ = 0;
    ready_.resize(thread_count_);
    std::iota(ready_.rbegin(), ready_.rend(), 0u);
    for (Warp& warp : warps_) {
        if (!warp.stamp) continue;  // nothing is known before the first __syncwarp
        warp.stamp = 0;
        std::memset(warp.known, 0, sizeof warp.known);
    }
    for (uint32_t i = 0; i < thread_count_; i++) {
        threads_[i].state = Thread::State::Ready;
        prepare(threads_[i].fiber, stacks_.stack(i), Stacks::stack_bytes - Stacks::colour(i), &Block::fiber_main);
    }
}

// Runs the block to its end, or until all of its threads wait for the other blocks.
void Block::run_block() {
    at_barrier_ = at_grid_barrier_ = 0;
    while (done_ < thread_count_ && at_grid_barrier_ < thread_count_) {
        if (ready_.empty()) {
            explain_deadlock();
            return;
        }
        const uint32_t thread = pick();
        resume(thread);
        if (kind != SOFTCUDA_OK) return;
        if (threads_[thread].state == Thread::State::Warp) arrive_in_warp(thread);
        if (at_barrier_ == thread_count_) pass_barrier();
        if (kind != SOFTCUDA_OK) return;
    }
    if (at_grid_barrier_ > 0) one_site("barriers of the grid");
}

// SplitMix64 (Steele, Lea and Flood 2014): the order depends on nothing but the seed.
std::size_t Block::random_below(std::size_t limit) {
    uint64_t z = random_state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<std::size_t>(static_cast<unsigned __int128>(z ^ z >> 31) * limit >> 64);
}

// The next thread to run, drawn from the runnable ones; with a fixed order the list is a stack. The one after it is drawn
// at once, unless others become runnable: its stack is in no cache, and comes while this one runs.
uint32_t Block::pick() {
    const auto draw = [&] {
        if (!keep_order_) std::swap(ready_.back(), ready_[random_below(ready_.size())]);
    };
    if (drawn_ != ready_.size()) draw();
    const uint32_t thread = ready_.back();
    ready_.pop_back();
    drawn_ = ready_.size();
    if (drawn_ > 0) {
        draw();
        prefetch(threads_[ready_.back()].fiber);
    }
    return thread;
}

void Block::resume(uint32_t thread) {
    clock_.thread = thread;
    clock_.warp = thread / lanes_per_warp;
    clock_.lane = thread % lanes_per_warp;
    Warp& warp = warps_[clock_.warp];
    clock_.stamp = &warp.stamp;
    clock_.known = warp.known[clock_.lane];
    thread_index = threads_[thread].index;
    if (trace_) trace_->add({SOFTCUDA_RUN, thread, 1});
    stack_begin_ = reinterpret_cast<uintptr_t>(stacks_.stack(thread));
    current = this;
    switch_fiber(scheduler_, threads_[thread].fiber);
    current = nullptr;
}

void Block::give_way() { switch_fiber(threads_[clock_.thread].fiber, scheduler_); }

void Block::fiber_main() {
    Block& block = *current;
    block.kernel_->thunk(block.kernel_->function, block.args_);
    block.threads_[block.clock_.thread].state = Thread::State::Done;
    if (block.trace_) block.trace_->add({SOFTCUDA_RETURN, block.clock_.thread, 1});
    block.done_++;
    block.give_way();
    __builtin_unreachable();
}

void Block::fail(softcuda_fault_kind fault, const std::string& what, const std::string& where) {
    current = nullptr;
    record_for(clock_.thread, fault, what, where);
    give_way();
    __builtin_unreachable();
}

void Block::record_for(uint32_t thread, softcuda_fault_kind fault, const std::string& what, const std::string& where) {
    record(fault, ", thread " + thread_name(thread) + ": " + what, where);
}

void Block::record(softcuda_fault_kind fault, const std::string& what, const std::string& where) {
    kind = fault;
    message = "kernel " + kernel_->name + ", block " + triple(block_index.x, block_index.y, block_index.z) + what;
    if (!where.empty()) message += ", at " + where;
}

// ---- barriers ----

void Block::wait_at_barrier(Site site) {
    Thread& thread = threads_[clock_.thread];
    thread.state = Thread::State::Barrier;
    thread.site = site;
    at_barrier_++;
    if (trace_) trace_wait(SOFTCUDA_WAIT_BLOCK, "__syncthreads", site);
    give_way();
}

void Block::wait_at_grid_barrier(Site site) {
    if (!multiprocessors_)
        fail(SOFTCUDA_BARRIER, "a barrier of the grid in a launch that is not cooperative; launch the kernel with "
             "cuLaunchCooperativeKernel", at(site));
    Thread& thread = threads_[clock_.thread];
    thread.state = Thread::State::GridBarrier;
    thread.site = site;
    at_grid_barrier_++;
    if (trace_) trace_wait(SOFTCUDA_WAIT_GRID, "barrier of the grid", site);
    give_way();
}

// Whether all threads, which wait, do so at one place of the source.
bool Block::one_site(const char* barriers) {
    for (uint32_t i = 1; i < thread_count_; i++) {
        const Site a = threads_[0].site, b = threads_[i].site;
        if (a.line == b.line && std::strcmp(a.file, b.file) == 0) continue;
        record(SOFTCUDA_BARRIER,
               std::string(": different ") + barriers + ": thread " + thread_name(0) + " " + waiting_for(0) +
               ", thread " + thread_name(i) + " " + waiting_for(i) + "; move the barrier out of the branch", "");
        return false;
    }
    return true;
}

void Block::pass_barrier() {
    if (!one_site("barriers")) return;
    report_->barriers++;
    if (trace_) trace_pass(SOFTCUDA_PASS_BLOCK, 0, thread_count_, "__syncthreads", threads_[0].site);
    clock_.now = ++last_interval_;
    at_barrier_ = 0;
    for (uint32_t i = thread_count_; i-- > 0;) {
        threads_[i].state = Thread::State::Ready;
        ready_.push_back(i);
    }
}

// ---- warp operations ----

// The fiber only stores its request; the scheduler completes it.
unsigned long long Block::wait_in_warp(WarpOp op, unsigned mask, unsigned long long bits, unsigned lane, int width,
                                       int bytes,
                                       Site site) {
    Thread& thread = threads_[clock_.thread];
    thread.op = op;
    thread.mask = mask;
    thread.bits = bits;
    thread.lane_argument = lane;
    thread.width = width;
    thread.bytes = bytes;
    thread.site = site;
    thread.state = Thread::State::Warp;
    if (trace_) trace_wait(SOFTCUDA_WAIT_WARP, op_name(op), site);
    give_way();
    return thread.bits;
}

void Block::arrive_in_warp(uint32_t number) {
    const Thread& own = threads_[number];
    const uint32_t warp = number / lanes_per_warp, first = warp * lanes_per_warp, lane = number - first;
    const uint32_t count = std::min(lanes_per_warp, thread_count_ - first);
    const unsigned existing = count == 32 ? ~0u : (1u << count) - 1;
    const auto wrong = [&](const std::string& what) {
        record_for(number, SOFTCUDA_WARP_MASK, op_name(own.op) + what, at(own.site));
    };
    if (!(own.mask >> lane & 1))
        return wrong(" with mask " + hex(own.mask) + " omits its caller, lane " + std::to_string(lane) +
                     "; name every lane that makes the call");
    if (own.mask & ~existing)
        return wrong(" with mask " + hex(own.mask) + " names lane " +
                     std::to_string(__builtin_ctz(own.mask & ~existing)) +
                     " of warp " + std::to_string(warp) + ", which has only " + std::to_string(count) +
                     " threads; launch whole warps or name fewer lanes");
    if (own.width < 1 || own.width > 32 || (own.width & (own.width - 1)))
        return wrong(" with width " + std::to_string(own.width) + "; the width is a power of two up to 32");
    for (unsigned rest = own.mask; rest; rest &= rest - 1)
        if (!together(own, threads_[first + static_cast<uint32_t>(__builtin_ctz(rest))])) return;
    report_->warp_operations++;
    if (trace_) trace_pass(SOFTCUDA_PASS_WARP, first, own.mask, op_name(own.op), own.site);
    pass_warp(warp, own);
}

// Completes the operation of all lanes of a mask; `last` arrived last.
void Block::pass_warp(uint32_t warp, const Thread& last) {
    Thread* lanes = &threads_[warp * lanes_per_warp];
    const WarpOp op = last.op;
    const unsigned mask = last.mask;
    unsigned long long results[lanes_per_warp] = {};
    unsigned ballot = 0;
    for (unsigned rest = mask; rest; rest &= rest - 1)
        if (lanes[__builtin_ctz(rest)].bits) ballot |= rest & -rest;
    for (unsigned rest = mask; rest; rest &= rest - 1) {
        const unsigned lane = static_cast<unsigned>(__builtin_ctz(rest));
        switch (op) {
            case WarpOp::Sync: break;
            case WarpOp::Ballot: results[lane] = ballot; break;
            case WarpOp::Any: results[lane] = ballot != 0; break;
            case WarpOp::All: results[lane] = ballot == mask; break;
            default: results[lane] = shuffled(warp * lanes_per_warp + lane);
        }
    }
    if (op == WarpOp::Sync) {
        Warp& clocks = warps_[warp];
        clocks.stamp++;
        uint32_t joined[lanes_per_warp] = {};
        for (unsigned rest = mask; rest; rest &= rest - 1)
            for (unsigned lane = 0; lane < lanes_per_warp; lane++)
                joined[lane] = std::max(joined[lane], clocks.known[__builtin_ctz(rest)][lane]);
        for (unsigned rest = mask; rest; rest &= rest - 1) joined[__builtin_ctz(rest)] = clocks.stamp;
        for (unsigned rest = mask; rest; rest &= rest - 1)
            std::memcpy(clocks.known[__builtin_ctz(rest)], joined, sizeof joined);
    }
    for (int lane = 31; lane >= 0; lane--) {
        if (!(mask >> lane & 1)) continue;
        lanes[lane].bits = results[lane];
        lanes[lane].state = Thread::State::Ready;
        ready_.push_back(warp * lanes_per_warp + static_cast<uint32_t>(lane));
    }
}

// Result of a shuffle for `thread`, as in the programming guide, "Warp Shuffle Functions".
unsigned long long Block::shuffled(uint32_t number) {
    const Thread& thread = threads_[number];
    const uint32_t first = number / lanes_per_warp * lanes_per_warp;
    const auto own = static_cast<int>(number - first);
    const int width = thread.width, segment = own & ~(width - 1);
    const auto argument = static_cast<int>(thread.lane_argument);
    int source = own;
    switch (thread.op) {
        case WarpOp::Shuffle: source = segment + (argument & (width - 1)); break;
        case WarpOp::ShuffleUp: source = own - segment < argument || argument < 0 ? own : own - argument; break;
        case WarpOp::ShuffleDown:
            source = argument < 0 || argument >= segment + width - own ? own : own + argument;
            break;
        default: source = (own ^ argument) >= segment + width ? own : own ^ argument;
    }
    if (source < 0 || source >= 32 || !(thread.mask >> source & 1)) {
        record_for(number, SOFTCUDA_INACTIVE_LANE,
                   std::string(op_name(thread.op)) + ": lane " + std::to_string(own) + " reads lane " +
                   std::to_string(source) +
                       ", which the mask " + hex(thread.mask) +
                       " does not name; its value is undefined, read only lanes of the mask",
                   at(thread.site));
        return 0;
    }
    return threads_[first + static_cast<uint32_t>(source)].bits;
}

// ---- deadlock ----

void Block::explain_deadlock() {
    for (uint32_t i = 0; i < thread_count_; i++) {
        const Thread& thread = threads_[i];
        if (thread.state != Thread::State::Warp) continue;
        for (unsigned rest = thread.mask; rest; rest &= rest - 1) {
            const uint32_t other = i / lanes_per_warp * lanes_per_warp + static_cast<uint32_t>(__builtin_ctz(rest));
            const Thread& missing = threads_[other];
            if (together(thread, missing)) continue;
            record(SOFTCUDA_WARP_MASK,
                   std::string(": ") + op_name(thread.op) + " with mask " + hex(thread.mask) + " of thread " +
                   thread_name(i) +
                       " names lane " + std::to_string(other % lanes_per_warp) + ", thread " + thread_name(other) +
                       ", which does not take part: it " + waiting_for(other) +
                       "; call it outside of the branch or name only the lanes that get there", at(thread.site));
            return;
        }
    }
    const auto waited_for = at_barrier_ > 0 ? Thread::State::Barrier : Thread::State::GridBarrier;
    std::vector<uint32_t> there, elsewhere;
    for (uint32_t i = 0; i < thread_count_; i++)
        (threads_[i].state == waited_for ? there : elsewhere).push_back(i);
    record(SOFTCUDA_BARRIER,
           std::string(": ") + (at_barrier_ > 0 ? "__syncthreads" : "the barrier of the grid") + " reached by only " + std::to_string(there.size()) + " of " + std::to_string(thread_count_) +
               " threads: thread " + list(there) + " waits, thread " + list(elsewhere) + " " +
               waiting_for(elsewhere.front()) +
               "; move the barrier out of the branch, and let no thread return before it",
           at(threads_[there.front()].site));
}

std::string Block::waiting_for(uint32_t number) const {
    const Thread& thread = threads_[number];
    switch (thread.state) {
        case Thread::State::Done: return "has returned";
        case Thread::State::Barrier: return "waits at the __syncthreads of " + at(thread.site);
        case Thread::State::GridBarrier: return "waits at the barrier of the grid of " + at(thread.site);
        case Thread::State::Warp:
            return std::string("waits in a ") + op_name(thread.op) + " with mask " + hex(thread.mask) + " of " +
                at(thread.site);
        default: return "runs";
    }
}

std::string Block::thread_name(uint32_t thread) const {
    if (thread >= threads_.size()) return "(several)";
    const uint3 i = threads_[thread].index;
    return triple(i.x, i.y, i.z);
}

std::string Block::list(const std::vector<uint32_t>& threads) const {
    std::string text;
    for (std::size_t i = 0; i < threads.size() && i < 4; i++) text += (i ? ", " : "") + thread_name(threads[i]);
    if (threads.size() > 4) text += " and " + std::to_string(threads.size() - 4) + " more";
    return text;
}

std::string Block::block_of_interval(uint32_t interval) const {
    const auto next = std::upper_bound(block_starts_.begin(), block_starts_.end(), interval);
    if (next == block_starts_.begin()) return "another block";
    const uint32_t number = block_numbers_[static_cast<std::size_t>(next - block_starts_.begin()) - 1];
    return "block " + triple(number % grid_shape.x, number / grid_shape.x % grid_shape.y,
                             number / (grid_shape.x * grid_shape.y));
}

// ---- accesses ----

template <Access access> void Block::touch(uintptr_t address, std::size_t bytes, const void* pc) {
    if (address - stack_begin_ < Stacks::stack_bytes) return;
    if (address - shared_begin_ < shared_bytes_) {
        const uint16_t number = shared_index_[(address - shared_begin_) / 64];
        if (!number) outside_everything(address, bytes, access != Access::Read, pc);
        if (shared_used_[number - 1] != launch_) begin_shared(number - 1);
        check_region<access>(shared_[number - 1], address, bytes, pc);
        return;
    }
    if (device_->memory.contains(address)) {
        Region* region = device_->memory.find(address);
        if (!region) outside_everything(address, bytes, access != Access::Read, pc);
        (access == Access::Read ? report_->global_bytes_read : report_->global_bytes_written) += bytes;
        check_region<access>(*region, address, bytes, pc);
        return;
    }
    const Image& library = image();
    if (address < library.begin || address >= library.end)
        outside_everything(address, bytes, access != Access::Read, pc);
}

// The first access of a launch to a shared array.
void Block::begin_shared(std::size_t array) {
    shared_used_[array] = launch_;
    shared_in_use_ += shared_[array].bytes;
    if (shared_in_use_ > shared_limit_)
        fail(SOFTCUDA_LAUNCH, "uses " + std::to_string(shared_in_use_) +
             " bytes of shared memory, the limit is " +
             std::to_string(shared_limit_) + "; use less, or raise `shared_limit` as cuFuncSetAttribute would");
}

template <Access access> void Block::check_region(Region& region, uintptr_t address, std::size_t bytes,
                                                  const void* pc) {
    const std::size_t offset = address - region.begin;  // below the region it wraps round to a huge number
    if (region.freed) use_after_free(region, bytes, access != Access::Read, pc);
    if (offset >= region.bytes || bytes > region.bytes - offset)
        out_of_bounds(region, address, bytes, access != Access::Read, pc);
    if (observed_) observe(region, offset, bytes, access, pc);
    region.refine_for(offset, bytes);
    const std::size_t end = (offset + bytes + (std::size_t(1) << region.shift) - 1) >> region.shift;
    // The compiler makes several accesses of a vector's: the cells of the next ones come while this one is looked at.
    __builtin_prefetch(region.cells + end + 2, 1);
    for (std::size_t i = offset >> region.shift; i < end; i++) {
        const Verdict verdict = visit<access>(region.cells[i], region, clock_);
        if (verdict.conflict != Conflict::None) conflict(verdict, access, region, i << region.shift, bytes, pc);
    }
}

template void Block::touch<Access::Read>(uintptr_t, std::size_t, const void*);
template void Block::touch<Access::Write>(uintptr_t, std::size_t, const void*);
template void Block::touch<Access::Atomic>(uintptr_t, std::size_t, const void*);

void Block::use_after_free(const Region& region, std::size_t bytes, bool write, const void* pc) {
    fail(SOFTCUDA_USE_AFTER_FREE, std::string(write ? "write" : "read") + " of " + std::to_string(bytes) +
         " bytes in the freed buffer `" + region.name + "`; free it after the last launch that uses it",
         source_line(pc));
}

void Block::out_of_bounds(const Region& region, uintptr_t address, std::size_t bytes, bool write, const void* pc) {
    const auto offset = static_cast<long long>(address - region.begin);
    fail(SOFTCUDA_OUT_OF_BOUNDS, std::string(write ? "write" : "read") + " of " + std::to_string(bytes) +
         " bytes at byte " +
         std::to_string(offset) + " of " + (region.shared ? "shared array" : "buffer") + " `" + region.name +
         "`, which has " +
         std::to_string(region.bytes) + " bytes; check the index against the size", source_line(pc));
}

void Block::outside_everything(uintptr_t address, std::size_t bytes, bool write, const void* pc) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
    const bool foreign_stack = address - stacks_.begin() < stacks_.bytes();
    fail(SOFTCUDA_OUT_OF_BOUNDS, std::string(write ? "write" : "read") + " of " + std::to_string(bytes) +
         " bytes at address " +
         text + (foreign_stack ? ", a local variable of another thread; pass it through shared memory or a shuffle"
                               : ", which is in no buffer and no shared array; check the pointer"), source_line(pc));
}

void Block::conflict(Verdict verdict, Access access, const Region& region, std::size_t offset, std::size_t bytes,
                     const void* pc) {
    const std::string what = access == Access::Read ? "read" : access == Access::Write ? "write" : "atomic update";
    const std::string place = "byte " + std::to_string(offset) + " of " +
                              (region.shared ? "shared array" : "buffer") + " `" +
                              region.name + "`";
    if (verdict.conflict == Conflict::Unwritten)
        fail(SOFTCUDA_UNWRITTEN, what + " of " + std::to_string(bytes) + " bytes at " + place +
             ", which was never written; write it first" +
                 (region.shared ? ", or wait with __syncthreads for the thread that does" : ""),
             source_line(pc));
    const bool wrote = verdict.conflict == Conflict::WriteInBlock || verdict.conflict == Conflict::WriteInOtherBlock;
    const bool inside = verdict.conflict == Conflict::WriteInBlock || verdict.conflict == Conflict::ReadInBlock;
    const bool same_warp = inside && verdict.other != no_thread && verdict.other / lanes_per_warp == clock_.warp;
    std::string other = inside ? "thread " + thread_name(verdict.other) : block_of_interval(verdict.interval);
    fail(SOFTCUDA_RACE, what + " at " + place + " races with the " + (wrote ? "write" : "read") + " by " + other +
         ", " +
         (!inside   ? "and nothing orders two blocks of a launch; give each element one block, or use a second kernel or a "
                        "barrier of the grid"
          : same_warp ? "with no __syncthreads or __syncwarp between them (a shuffle does not order memory)"
                      : "with no __syncthreads between them"), source_line(pc));
}

}
