/* The C interface of a kernel library: device memory, launches, faults.
 *
 * A launch takes its arguments as cuLaunchKernel does: an array of pointers, one to each argument. Functions that can
 * fail return 0 or a `softcuda_fault_kind`; `softcuda_message` then says what happened, where, and what to do.
 * A device belongs to one host thread at a time; different devices may be used by different threads at once. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum softcuda_fault_kind {
    SOFTCUDA_OK = 0,
    SOFTCUDA_LAUNCH = 1,        /* unknown kernel, wrong arguments, impossible shape of grid or block, out of memory */
    SOFTCUDA_BARRIER = 2,       /* a barrier, of the block or the grid, not reached by all threads, or different ones */
    SOFTCUDA_WARP_MASK = 3,     /* a mask omits its caller or names threads that do not take part */
    SOFTCUDA_INACTIVE_LANE = 4, /* a shuffle reads a lane that its mask does not name */
    SOFTCUDA_RACE = 5,
    SOFTCUDA_OUT_OF_BOUNDS = 6,
    SOFTCUDA_MISALIGNED = 7,
    SOFTCUDA_USE_AFTER_FREE = 8,
    SOFTCUDA_UNWRITTEN = 9,     /* a read, by a kernel or by the host, of memory that was never written */
    SOFTCUDA_ARITHMETIC = 10    /* an integer division by zero */
};

typedef struct softcuda_device softcuda_device;

typedef struct { uint32_t x, y, z; } softcuda_dim3;

typedef struct {
    uint64_t seed;         /* of the order in which blocks and threads run */
    uint32_t shared_limit; /* bytes of shared memory a block may use, at most 227 KiB */
    uint32_t keep_order;   /* not 0: blocks and threads run in ascending order, for stepping through in a debugger */
    uint32_t multiprocessors; /* not 0: a cooperative launch, on a device of so many multiprocessors, which must hold
                                 all blocks at once (softcuda_resident_blocks) */
    uint32_t traced_block; /* the number of the block in the grid whose events are recorded (softcuda_take_trace) */
    uint64_t trace_limit;  /* the largest number of events recorded; 0: none, and nothing is slower */
} softcuda_options;

typedef struct {
    uint64_t blocks, threads;
    uint64_t barriers, warp_operations;               /* passed by a block, by a warp */
    uint64_t grid_barriers;                           /* passed by the grid */
    uint64_t global_bytes_read, global_bytes_written; /* as the kernel asked for them, before any cache */
    uint64_t shared_bytes;                            /* static and dynamic shared memory used by a block */
} softcuda_report;

softcuda_device* softcuda_open(void);
void softcuda_close(softcuda_device* device);
const char* softcuda_message(const softcuda_device* device);

int softcuda_alloc(softcuda_device* device, size_t bytes, const char* name, void** address);
int softcuda_free(softcuda_device* device, void* address);
int softcuda_upload(softcuda_device* device, void* to, const void* from, size_t bytes);
int softcuda_download(softcuda_device* device, void* to, const void* from, size_t bytes);
int softcuda_fill(softcuda_device* device, void* to, unsigned char value, size_t bytes);
/* For host code that works on device memory in place: whether it may read these bytes (they lie in one buffer and are
 * written), may overwrite them, which marks them as written, or may use them as scratch memory with undefined
 * content. */
enum softcuda_use { SOFTCUDA_READ = 0, SOFTCUDA_WRITE = 1, SOFTCUDA_SCRATCH = 2 };
int softcuda_check(softcuda_device* device, const void* at, size_t bytes, enum softcuda_use use, const char* what);

/* Notes from now on which bytes launches, copies and softcuda_check access. */
void softcuda_watch(softcuda_device* device);
/* Calls `access` for each range of bytes that was accessed since the last call, of the buffer `name` at address `buffer`;
 * `what` names the kernel, the copy, or what softcuda_check was told. */
typedef void (*softcuda_access)(void* context, uintptr_t buffer, size_t begin, size_t end, int is_written,
                                const char* name, const char* what);
void softcuda_take_accesses(softcuda_device* device, softcuda_access access, void* context);

/* The events of a traced block, in the order of the run. The events of other blocks of a cooperative launch, which run
 * between those of this one, are left out. */
enum softcuda_event_kind {
    SOFTCUDA_RUN = 0,         /* a thread begins, or goes on behind a wait */
    SOFTCUDA_EVENT_READ = 1,
    SOFTCUDA_EVENT_WRITE = 2,
    SOFTCUDA_EVENT_ATOMIC = 3,
    SOFTCUDA_WAIT_BLOCK = 4,  /* a thread waits, at a barrier of the block, of the grid, in a warp operation */
    SOFTCUDA_WAIT_GRID = 5,
    SOFTCUDA_WAIT_WARP = 6,
    SOFTCUDA_PASS_BLOCK = 7,  /* those that waited may go on */
    SOFTCUDA_PASS_GRID = 8,
    SOFTCUDA_PASS_WARP = 9,
    SOFTCUDA_RETURN = 10      /* a thread returns */
};

typedef struct {
    uint32_t kind;         /* softcuda_event_kind */
    uint32_t thread;       /* its number in the block; of a passed warp operation, the first thread of the warp */
    uint32_t count;        /* bytes of an access; threads that passed a barrier; the lanes that passed, as a mask */
    uint32_t is_shared;    /* the array of an access is in shared memory */
    uint64_t offset;       /* of an access in its array, in bytes */
    uint64_t array;        /* the address of the array */
    uint64_t array_bytes;
    uint64_t instruction;  /* an address that tells the instructions of a kernel that access memory apart */
    const char* name;      /* of the array of an access, or of the operation that is waited for */
    const char* place;     /* source lines, "FILE:LINE", the innermost first, one behind another; may be empty */
} softcuda_event;

/* Calls `visit` for each event of the last traced launch, and forgets them. After a fault these
 * are the events up to it. Returns the number of events that were left out, because there were more than the limit. */
typedef void (*softcuda_visit)(void* context, const softcuda_event* event);
uint64_t softcuda_take_trace(softcuda_device* device, softcuda_visit visit, void* context);

/* Kernel number `index` in the order of registration, or null behind the last one. */
const char* softcuda_kernel_name(size_t index);
/* Kind and size in bytes of each parameter, such as "p8p8i4f4": pointer, integer, float, structure. Null: no such
 * kernel. */
const char* softcuda_kernel_parameters(const char* kernel);

/* The blocks of this size that one multiprocessor holds at once: one with 2,048 threads, 32 blocks and 228 KiB of shared
 * memory, of which each block takes 1 KiB more than its own, as those of compute capability 9.0. Registers, which may
 * lower it there, do not count. 0: such a block is impossible. */
uint32_t softcuda_resident_blocks(uint32_t threads, size_t shared_bytes);

int softcuda_launch(softcuda_device* device, const char* kernel, softcuda_dim3 grid, softcuda_dim3 block,
                    size_t dynamic_shared_bytes, void** args, const softcuda_options* options, softcuda_report* report);

#ifdef __cplusplus
}
#endif
