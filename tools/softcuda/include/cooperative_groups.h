// Cooperative groups: the barrier of the whole grid, for kernels of a cooperative launch. Everything else of the real
// header is left out, so that using it is a compile error.
#pragma once

#include "softcuda/sync.h"

namespace cooperative_groups {

class grid_group {
public:
    // Waits for all threads of the grid; their accesses before it are visible after it.
    void sync(const char* file = __builtin_FILE(), int line = __builtin_LINE()) const {
        softcuda::grid_barrier({file, line});
    }
};

__forceinline__ grid_group this_grid() { return {}; }

}
