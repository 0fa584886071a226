// Shadow memory: the last writer and reader of each location, from which races are detected.
//
// Time inside a launch is cut into *intervals*: a block begins one when it starts and at each __syncthreads; they are
// numbered upwards through all blocks and launches. Two accesses of one block in different intervals are ordered. After
// a barrier of the whole grid, all accesses before it are ordered too, as if a launch had ended.
// Inside an interval only __syncwarp orders two threads of a warp (a shuffle or a vote does not: CUDA's guide says
// that these imply no memory barrier). Each warp counts its __syncwarps as *stamps*; `known[u][l]` is the stamp below
// which thread u may rely on the accesses of lane l.
//
// A region starts with one cell for four bytes. The first narrower access splits all cells; this is exact, because
// every earlier access covered whole cells.
#pragma once

#include <cstddef>
#include <cstdint>

namespace softcuda {

constexpr unsigned lanes_per_warp = 32;
constexpr uint16_t no_thread = 0xffff;  // as an atomic writer: several threads

struct Cell {
    uint32_t write_interval, write_stamp;
    uint32_t read_interval, read_stamp;
    uint32_t read_lanes;    // of warp `read_warp`, in interval `read_interval`
    uint16_t read_warp;
    uint16_t other_reader;  // a thread of another warp that read in the same interval, or `no_thread`
    uint16_t writer;
    uint8_t written;        // ever
    uint8_t write_atomic : 1;
    uint8_t other_blocks_read : 1;  // in the launch of `read_interval`, before that interval's block
};

class Marks;

struct Region {
    uintptr_t begin = 0;
    std::size_t bytes = 0;
    std::size_t capacity = 0;  // bytes that have cells; more than `bytes` for dynamic shared memory
    Cell* cells = nullptr;  // zero pages until touched
    unsigned shift = 2;     // a cell stands for 1 << shift bytes
    bool shared = false;
    bool freed = false;
    bool all_written = false;  // by the host, so that no cell needs to say it
    const char* name = "";
    Marks* marks = nullptr;  // bytes that the running work has accessed (accesses.h), none before the first
    bool is_marked = false;

    void map_cells();
    void unmap_cells();
    // Splits the cells until each stands for 1 << finer bytes.
    void refine(unsigned finer);
    // Makes sure that no cell lies partly in the range.
    void refine_for(std::size_t offset, std::size_t count) {
        const std::size_t both = offset | count;
        if (both & ((std::size_t(1) << shift) - 1)) refine(static_cast<unsigned>(__builtin_ctzll(both)));
    }
    void mark_written(std::size_t offset, std::size_t count);
    // Offset of the first byte in the range that was never written, or the end of the range.
    std::size_t first_unwritten(std::size_t offset, std::size_t count) const;
    // Resets all intervals, but keeps the record of written locations.
    void forget_times();
    std::size_t cell_count() const { return (capacity + (std::size_t(1) << shift) - 1) >> shift; }
};

enum class Access { Read, Write, Atomic };

// Identity and clock of the running thread, for the comparison with a cell.
struct Clock {
    // Intervals. The first ones from which on accesses of other blocks, of the running block since the grid's last
    // barrier, and of the running block to its shared memory are of interest.
    uint32_t launch_first, block_first, shared_first, now;
    uint32_t thread, warp, lane;
    const uint32_t* stamp;  // of the warp
    const uint32_t* known;  // this lane's row

    bool ordered_after(uint32_t other, uint32_t other_stamp) const {
        if (other == thread) return true;
        return other != no_thread && other / lanes_per_warp == warp && other_stamp < known[other % lanes_per_warp];
    }
};

enum class Conflict { None, Unwritten, WriteInBlock, ReadInBlock, WriteInOtherBlock, ReadInOtherBlock };

struct Verdict {
    Conflict conflict = Conflict::None;
    uint32_t other = 0;     // the other thread's number in its block
    uint32_t interval = 0;  // when it happened, 0 if that was overwritten since
};

// Checks one access against the history of a cell, and records it.
template <Access access>
inline Verdict visit(Cell& cell, const Region& region, const Clock& t) {
    // Shared memory is new in each block, so older intervals are ignored there.
    const uint32_t first = region.shared ? t.shared_first : t.launch_first;
    const uint32_t block_first = region.shared ? t.shared_first : t.block_first;

    if (access != Access::Write && !region.all_written) {
        if (region.shared ? cell.write_interval < first : !cell.written) return {Conflict::Unwritten, 0, 0};
    }
    if (cell.write_interval >= first && !(access == Access::Atomic && cell.write_atomic)) {
        if (cell.write_interval < block_first) return {Conflict::WriteInOtherBlock, cell.writer, cell.write_interval};
        if (cell.write_interval == t.now && !t.ordered_after(cell.writer, cell.write_stamp))
            return {Conflict::WriteInBlock, cell.writer, t.now};
    }

    if (access == Access::Read) {
        if (cell.read_interval != t.now) {
            cell.other_blocks_read =
                cell.read_interval >= first && (cell.other_blocks_read || cell.read_interval < block_first);
            cell.read_interval = t.now;
            cell.read_stamp = *t.stamp;
            cell.read_warp = t.warp;
            cell.read_lanes = 1u << t.lane;
            cell.other_reader = no_thread;
        } else if (cell.read_warp != t.warp) {
            cell.other_reader = t.thread;
        } else if (cell.read_stamp == *t.stamp) {
            cell.read_lanes |= 1u << t.lane;
        } else {
            // Readers that are ordered before this thread need no record: a thread ordered after this thread is ordered
            // after them. The others keep the older stamp, which may hide a race but never reports a false one.
            uint32_t rest = cell.read_lanes & ~(1u << t.lane);
            for (uint32_t lane = 0; lane < lanes_per_warp; lane++)
                if (cell.read_stamp < t.known[lane]) rest &= ~(1u << lane);
            if (!rest) cell.read_stamp = *t.stamp;
            cell.read_lanes = rest | 1u << t.lane;
        }
        return {};
    }

    if (cell.read_interval >= first) {
        if (cell.read_interval < block_first || cell.other_blocks_read)
            return {Conflict::ReadInOtherBlock, no_thread, cell.read_interval < block_first ? cell.read_interval : 0};
        if (cell.read_interval == t.now) {
            if (cell.other_reader != no_thread && cell.other_reader != t.thread)
                return {Conflict::ReadInBlock, cell.other_reader, t.now};
            for (uint32_t lanes = cell.read_lanes; lanes; lanes &= lanes - 1) {
                uint32_t reader = cell.read_warp * lanes_per_warp + static_cast<uint32_t>(__builtin_ctz(lanes));
                if (!t.ordered_after(reader, cell.read_stamp)) return {Conflict::ReadInBlock, reader, t.now};
            }
        }
    }
    const bool shared_atomic = access == Access::Atomic && cell.write_atomic && cell.write_interval >= first &&
                               (cell.write_interval != t.now || cell.writer != t.thread);
    cell.write_interval = t.now;
    cell.write_stamp = *t.stamp;
    cell.writer = shared_atomic ? no_thread : static_cast<uint16_t>(t.thread);
    cell.write_atomic = access == Access::Atomic;
    cell.written = 1;
    return {};
}

}
