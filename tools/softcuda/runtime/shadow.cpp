#include "shadow.h"

#include <sys/mman.h>

namespace softcuda {

namespace {

Cell* map(std::size_t count) {
    if (count == 0) return nullptr;
    void* cells = mmap(nullptr, count * sizeof(Cell), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return cells == MAP_FAILED ? nullptr : static_cast<Cell*>(cells);
}

}

void Region::map_cells() {
    if (!capacity) capacity = bytes;
    cells = map(cell_count());
}

void Region::unmap_cells() {
    if (cells) munmap(cells, cell_count() * sizeof(Cell));
    cells = nullptr;
}

void Region::refine(unsigned finer) {
    if (finer >= shift) return;
    Region split = *this;
    split.shift = finer;
    split.map_cells();
    if (!split.cells) return;
    const std::size_t count = split.cell_count();
    for (std::size_t i = 0; i < count; i++) {
        // A cell without accesses stays on a zero page.
        const Cell& old = cells[i >> (shift - finer)];
        if (old.written || old.read_interval || old.write_interval) split.cells[i] = old;
    }
    unmap_cells();
    *this = split;
}

void Region::mark_written(std::size_t offset, std::size_t count) {
    if (offset == 0 && count == bytes) {
        all_written = true;
        return;
    }
    if (all_written) return;
    refine_for(offset, offset + count == bytes ? 0 : count);
    for (std::size_t i = offset >> shift; i << shift < offset + count; i++) cells[i].written = 1;
}

std::size_t Region::first_unwritten(std::size_t offset, std::size_t count) const {
    if (!all_written)
        for (std::size_t i = offset >> shift; i << shift < offset + count; i++)
            if (!cells[i].written) return i << shift < offset ? offset : i << shift;
    return offset + count;
}

void Region::forget_times() {
    if (!cells) return;
    for (std::size_t i = 0, count = cell_count(); i < count; i++) {
        cells[i].write_interval = cells[i].read_interval = 0;
        cells[i].other_blocks_read = 0;
    }
}

}
