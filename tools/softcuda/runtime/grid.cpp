// A launch: the blocks of a grid, one after another, or side by side up to each barrier of the grid.
#include "block.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace softcuda {

uint32_t resident_blocks(uint32_t threads, std::size_t shared_bytes) {
    constexpr std::size_t most_threads = 2048, most_blocks = 32, shared = 228 << 10, each = 1 << 10;
    if (threads == 0 || threads > 1024 || shared_bytes > shared - each) return 0;
    const std::size_t whole_warps = (threads + lanes_per_warp - 1) / lanes_per_warp * lanes_per_warp;
    return static_cast<uint32_t>(std::min({most_threads / whole_warps, most_blocks, shared / (shared_bytes + each)}));
}

bool Block::run_grid(softcuda_device& device, const Kernel& kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes,
                     void** args, const softcuda_options& options, softcuda_report& report) {
    kind = SOFTCUDA_OK;
    message.clear();
    device_ = &device;
    kernel_ = &kernel;
    args_ = args;
    report_ = &report;
    grid_shape = grid;
    block_shape = block;
    block_index = {};
    thread_count_ = block.x * block.y * block.z;
    multiprocessors_ = options.multiprocessors;
    random_state_ = options.seed;
    keep_order_ = options.keep_order != 0;
    traced_block_ = 0;
    trace_ = nullptr;
    if (options.trace_limit) {
        traced_block_ = uint64_t(options.traced_block) + 1;
        device.trace.begin(options.trace_limit);
    }
    launch_++;

    if (!prepare_shared(dynamic_bytes, options.shared_limit)) return false;
    // Buffers keep intervals across launches; all are reset long before the counter would overflow.
    last_interval_ = std::max(last_interval_, device.last_interval);
    if (last_interval_ > 0x80000000u) {
        device.memory.forget_times();
        for (Region& region : shared_) region.forget_times();
        last_interval_ = 0;
    }
    clock_.launch_first = last_interval_ + 1;
    block_starts_.clear();
    block_numbers_.clear();

    std::vector<uint32_t> order(std::size_t(grid.x) * grid.y * grid.z);
    std::iota(order.begin(), order.end(), 0u);
    shuffle(order);
    const std::size_t blocks = order.size();
    const bool ended = multiprocessors_ ? run_cooperative(std::move(order)) : run_independent(order);
    device.last_interval = last_interval_;
    if (!ended) return false;
    report.blocks = blocks;
    report.threads = blocks * thread_count_;
    report.shared_bytes = shared_in_use_;
    return true;
}

bool Block::prepare_shared(std::size_t dynamic_bytes, uint32_t limit) {
    const Image& library = image();
    if (shared_.empty()) {
        shared_begin_ = thread_local_block();
        shared_bytes_ = library.thread_local_bytes;
        shared_.resize(library.arrays.size());
        shared_used_.assign(library.arrays.size(), 0);
        shared_index_.assign(shared_bytes_ / 64 + 2, 0);
        for (std::size_t i = 0; i < shared_.size(); i++) {
            const SharedArray& array = library.arrays[i];
            shared_[i].begin = shared_begin_ + array.offset;
            shared_[i].bytes = array.bytes;
            shared_[i].shared = true;
            shared_[i].name = array.name.c_str();
            shared_[i].map_cells();
            // The red zone after an array belongs to its region, so that a fault past its end names the array.
            std::fill(shared_index_.begin() + static_cast<std::ptrdiff_t>(array.offset / 64), shared_index_.end(),
                      static_cast<uint16_t>(i + 1));
        }
    }
    shared_limit_ = limit;
    shared_in_use_ = dynamic_bytes;
    for (std::size_t i = 0; i < shared_.size(); i++)
        if (library.arrays[i].dynamic) shared_[i].bytes = dynamic_bytes, shared_used_[i] = launch_;
    return true;
}

// Room for the threads of one block. The fibers of a block that waits keep their places.
bool Block::prepare_threads() {
    if (!stacks_.reserve(thread_count_)) {
        record(SOFTCUDA_LAUNCH, ": no address space for the stacks of " + std::to_string(thread_count_) + " threads",
               "");
        return false;
    }
    threads_.resize(thread_count_);
    warps_.resize((thread_count_ + lanes_per_warp - 1) / lanes_per_warp);
    for (uint32_t i = 0; i < thread_count_; i++)
        threads_[i].index = {i % block_shape.x, i / block_shape.x % block_shape.y,
                             i / (block_shape.x * block_shape.y)};
    return true;
}

// With a fixed order, the numbers stay as they are.
void Block::shuffle(std::vector<uint32_t>& order) {
    if (keep_order_) return;
    for (std::size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[random_below(i)]);
}

// Begins an interval of block `number`.
void Block::enter(uint32_t number) {
    block_index = {number % grid_shape.x, number / grid_shape.x % grid_shape.y,
                   number / (grid_shape.x * grid_shape.y)};
    clock_.block_first = clock_.now = ++last_interval_;
    trace_ = traced_block_ == uint64_t(number) + 1 ? &device_->trace : nullptr;
    observed_ = device_->accesses.watched || trace_;
    block_starts_.push_back(last_interval_);
    block_numbers_.push_back(number);
}

bool Block::run_independent(const std::vector<uint32_t>& order) {
    if (!prepare_threads()) return false;
    for (uint32_t number : order) {
        enter(number);
        clock_.shared_first = clock_.block_first;
        start_block();
        run_block();
        if (kind != SOFTCUDA_OK) return false;
    }
    return true;
}

// ---- cooperative launches ----

// Each block runs up to the grid's next barrier before the next block runs, in another order behind each barrier. So
// whatever a block would have to wait for without a barrier is missing.
bool Block::run_cooperative(std::vector<uint32_t> order) {
    if (!all_resident(order.size(), shared_in_use_)) return false;
    if (parked_.size() < order.size()) parked_ = std::vector<Parked>(order.size());
    const std::size_t blocks = order.size();
    for (bool begun = false; !order.empty(); begun = true) {
        std::vector<uint32_t> waiting;
        for (uint32_t number : order) {
            Parked& own = parked_[number];
            exchange(own);
            enter(number);
            if (!begun) {
                if (!prepare_threads()) return false;
                own.first_interval = clock_.block_first;
                start_block();
            } else {
                restore_shared(own);
                pass_grid_barrier();
            }
            clock_.shared_first = own.first_interval;
            run_block();
            if (kind != SOFTCUDA_OK) return false;
            if (done_ < thread_count_) {
                save_shared(own);
                waiting.push_back(number);
            }
            exchange(own);
        }
        // Static arrays are known by now.
        if (!waiting.empty() && !all_resident(blocks, shared_in_use_)) return false;
        if (!waiting.empty() && waiting.size() < order.size()) {
            const auto returned = std::find_if(order.begin(), order.end(), [&](uint32_t number) {
                return std::find(waiting.begin(), waiting.end(), number) == waiting.end();
            });
            const uint32_t number = waiting.front();
            const Site site = parked_[number].threads[0].site;
            enter(number);
            record(SOFTCUDA_BARRIER,
                   ": the barrier of the grid reached by only " + std::to_string(waiting.size()) + " of " +
                       std::to_string(blocks) + " blocks: block " + std::to_string(*returned) +
                       " has returned; let every block of the grid reach it",
                   std::string(site.file) + ":" + std::to_string(site.line));
            return false;
        }
        if (!waiting.empty()) report_->grid_barriers++;
        clock_.launch_first = last_interval_ + 1;
        shuffle(waiting);
        order = std::move(waiting);
    }
    return true;
}

bool Block::all_resident(std::size_t blocks, std::size_t shared_bytes) {
    const std::size_t most = std::size_t(resident_blocks(thread_count_, shared_bytes)) * multiprocessors_;
    if (blocks <= most) return true;
    record(SOFTCUDA_LAUNCH,
           ": a cooperative launch of " + std::to_string(blocks) + " blocks of " + std::to_string(thread_count_) +
               " threads with " + std::to_string(shared_bytes) + " bytes of shared memory, and " +
               std::to_string(multiprocessors_) + " multiprocessors hold only " + std::to_string(most) +
               " at once; launch no more than cuOccupancyMaxActiveBlocksPerMultiprocessor tells for each",
           "");
    return false;
}

void Block::exchange(Parked& parked) {
    threads_.swap(parked.threads);
    warps_.swap(parked.warps);
    stacks_.swap(parked.stacks);
}

void Block::save_shared(Parked& parked) {
    parked.arrays.clear();
    for (std::size_t i = 0; i < shared_.size(); i++) {
        const Region& region = shared_[i];
        if (shared_used_[i] != launch_ || region.bytes == 0) continue;
        const auto* bytes = reinterpret_cast<const char*>(region.begin);
        const std::size_t cells = (region.bytes + (std::size_t(1) << region.shift) - 1) >> region.shift;
        parked.arrays.push_back({i, region.shift, {bytes, bytes + region.bytes}, {region.cells, region.cells + cells}});
    }
}

void Block::restore_shared(const Parked& parked) {
    for (const Parked::Array& array : parked.arrays) {
        Region& region = shared_[array.number];
        std::memcpy(reinterpret_cast<void*>(region.begin), array.bytes.data(), array.bytes.size());
        // Another block may have split the cells since.
        const unsigned finer = array.shift - region.shift;
        for (std::size_t i = 0; i < array.cells.size() << finer; i++) region.cells[i] = array.cells[i >> finer];
    }
}

// The running block goes on behind the barrier that all blocks have reached.
void Block::pass_grid_barrier() {
    ready_.clear();
    done_ = 0;
    if (trace_) trace_pass(SOFTCUDA_PASS_GRID, 0, thread_count_, "barrier of the grid", threads_[0].site);
    for (uint32_t i = thread_count_; i-- > 0;) {
        threads_[i].state = Thread::State::Ready;
        ready_.push_back(i);
    }
}

}
