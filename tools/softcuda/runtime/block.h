// State of a launch on one host thread: the running block, its fibers, its clock, and the fault that ended it.
#pragma once

#include "device.h"
#include "fiber.h"
#include "library.h"
#include "softcuda/sync.h"
#include "softcuda/vector_types.h"
#include "softcuda_api.h"

#include <vector>

namespace softcuda {

struct Thread {
    enum class State { Ready, Barrier, GridBarrier, Warp, Done };
    Fiber fiber;
    State state;
    uint3 index;
    Site site;  // where it waits
    WarpOp op;
    unsigned mask, lane_argument;
    int width, bytes;
    unsigned long long bits;  // given to, then got from, a warp operation
};

struct Warp {
    uint32_t stamp;  // how many __syncwarps of its lanes have passed
    uint32_t known[lanes_per_warp][lanes_per_warp];
};

// A block of a cooperative launch while others run: its threads, and its shared memory, which is in one place for all.
struct Parked {
    struct Array {
        std::size_t number;  // in the library
        unsigned shift;
        std::vector<char> bytes;
        std::vector<Cell> cells;
    };
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Stacks stacks;
    std::vector<Array> arrays;
    uint32_t first_interval = 0;
};

// The blocks that one multiprocessor holds at once (softcuda_api.h).
uint32_t resident_blocks(uint32_t threads, std::size_t shared_bytes);

class Block {
public:
    // Runs a whole grid; returns false after a fault, which `kind` and `message` then describe.
    bool run_grid(softcuda_device& device, const Kernel& kernel, dim3 grid, dim3 block, std::size_t dynamic_bytes,
                  void** args, const softcuda_options& options, softcuda_report& report);

    // Called on a thread's fiber.
    void wait_at_barrier(Site site);
    void wait_at_grid_barrier(Site site);
    unsigned long long wait_in_warp(WarpOp op, unsigned mask, unsigned long long bits, unsigned lane, int width,
                                    int bytes,
                                    Site site);
    template <Access access> void touch(uintptr_t address, std::size_t bytes, const void* pc);
    // Ends the launch: the running fiber is never continued.
    [[noreturn]] void fail(softcuda_fault_kind kind, const std::string& what, const std::string& where = "");

    std::string thread_name(uint32_t thread) const;

    softcuda_fault_kind kind = SOFTCUDA_OK;
    std::string message;
    uint3 thread_index{}, block_index{};
    dim3 block_shape, grid_shape;

private:
    static void fiber_main();
    bool prepare_shared(std::size_t dynamic_bytes, uint32_t limit);
    bool prepare_threads();
    bool run_independent(const std::vector<uint32_t>& order);
    bool run_cooperative(std::vector<uint32_t> order);
    bool all_resident(std::size_t blocks, std::size_t shared_bytes);
    void exchange(Parked& parked);
    void save_shared(Parked& parked);
    void restore_shared(const Parked& parked);
    void pass_grid_barrier();
    void enter(uint32_t number);
    void shuffle(std::vector<uint32_t>& order);
    void start_block();
    void run_block();
    void resume(uint32_t thread);
    uint32_t pick();
    std::size_t random_below(std::size_t limit);
    void give_way();
    void pass_barrier();
    bool one_site(const char* barrier);
    void arrive_in_warp(uint32_t thread);
    void pass_warp(uint32_t warp, const Thread& last);
    unsigned long long shuffled(uint32_t thread);
    void explain_deadlock();
    void record(softcuda_fault_kind kind, const std::string& what, const std::string& where);
    void record_for(uint32_t thread, softcuda_fault_kind kind, const std::string& what, const std::string& where);
    std::string waiting_for(uint32_t thread) const;
    std::string list(const std::vector<uint32_t>& threads) const;
    std::string block_of_interval(uint32_t interval) const;

    template <Access access> void check_region(Region& region, uintptr_t address, std::size_t bytes, const void* pc);
    void begin_shared(std::size_t array);
    [[gnu::noinline]] void observe(Region& region, std::size_t offset, std::size_t bytes, Access access,
                                   const void* pc);
    void trace_wait(softcuda_event_kind kind, const char* operation, Site site);
    void trace_pass(softcuda_event_kind kind, uint32_t first, uint32_t count, const char* operation, Site site);
    [[noreturn, gnu::cold]] void use_after_free(const Region& region, std::size_t bytes, bool write, const void* pc);
    [[noreturn, gnu::cold]] void out_of_bounds(const Region& region, uintptr_t address, std::size_t bytes, bool write,
                                               const void* pc);
    [[noreturn, gnu::cold]] void outside_everything(uintptr_t address, std::size_t bytes, bool write, const void* pc);
    [[noreturn, gnu::cold]] void conflict(Verdict verdict, Access access, const Region& region, std::size_t offset,
                                          std::size_t bytes, const void* pc);

    const Kernel* kernel_ = nullptr;
    softcuda_device* device_ = nullptr;
    void** args_ = nullptr;
    softcuda_report* report_ = nullptr;
    uint64_t traced_block_ = 0;  // 1 + its number in the grid, 0 if none is traced
    Trace* trace_ = nullptr;     // while the traced block runs
    bool observed_ = false;      // accesses are noted, for a trace or for races between streams

    Clock clock_{};
    uint32_t last_interval_ = 0;
    std::vector<uint32_t> block_starts_;   // first interval of each block run so far, ascending
    std::vector<uint32_t> block_numbers_;  // and its number in the grid

    uint32_t thread_count_ = 0, done_ = 0, at_barrier_ = 0, at_grid_barrier_ = 0;
    uint32_t multiprocessors_ = 0;  // of a cooperative launch
    std::vector<Parked> parked_;    // one a block of a cooperative launch
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<uint32_t> ready_;
    std::size_t drawn_ = 0;  // the size of `ready_` whose last thread has been drawn
    Stacks stacks_;
    Fiber scheduler_{};
    uint64_t random_state_ = 0;
    bool keep_order_ = false;
    uintptr_t stack_begin_ = 0;  // of the running fiber

    uintptr_t shared_begin_ = 0;
    std::size_t shared_bytes_ = 0;
    std::vector<Region> shared_;          // one an array of the library
    std::vector<uint16_t> shared_index_;  // for each 64 bytes, 1 + the number of the array in or before it
    std::vector<uint32_t> shared_used_;   // the launch that last touched an array
    uint32_t launch_ = 0, shared_limit_ = 0;
    std::size_t shared_in_use_ = 0;
};

// The block whose kernel code this host thread runs right now; null outside of kernels.
Block* running();

}
