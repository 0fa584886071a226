#include "softcuda_api.h"

#include "block.h"

#include <cstring>
#include <map>

using namespace softcuda;

namespace {

// Stacks, fibers and the shadow of shared memory are kept from launch to launch, one set a host thread.
Block& block_of_this_thread() {
    static thread_local Block block;
    return block;
}

int fail(softcuda_device* device, softcuda_fault_kind kind, std::string message) {
    device->message = std::move(message);
    return kind;
}

// The buffer that holds all of a host copy's bytes, or null with the reason as the device's message.
Region* region_for_copy(softcuda_device* device, const void* address, size_t bytes, const char* what, int& kind) {
    const auto at = reinterpret_cast<uintptr_t>(address);
    Region* region = device->memory.contains(at) ? device->memory.find(at) : nullptr;
    if (!region) {
        kind = fail(device, SOFTCUDA_OUT_OF_BOUNDS, std::string(what) + ": the address is in no buffer of this device");
    } else if (region->freed) {
        kind = fail(device, SOFTCUDA_USE_AFTER_FREE, std::string(what) + ": buffer `" + region->name + "` is freed");
    } else if (at < region->begin || at - region->begin > region->bytes
               || bytes > region->bytes - (at - region->begin)) {
        kind = fail(device, SOFTCUDA_OUT_OF_BOUNDS, std::string(what) + ": " + std::to_string(bytes) +
                    " bytes at byte " +
                    std::to_string(static_cast<long long>(at - region->begin)) + " of buffer `" + region->name +
                    "`, which has " +
                    std::to_string(region->bytes) + " bytes");
    } else {
        return region;
    }
    return nullptr;
}

}

extern "C" {

__attribute__((visibility("default"))) softcuda_device* softcuda_open(void) {
    auto* device = new softcuda_device;
    if (device->memory.usable()) return device;
    delete device;
    return nullptr;
}

__attribute__((visibility("default"))) void softcuda_close(softcuda_device* device) { delete device; }

__attribute__((visibility("default"))) const char* softcuda_message(const softcuda_device* device) {
    return device->message.c_str();
}

__attribute__((visibility("default"))) int softcuda_alloc(softcuda_device* device, size_t bytes, const char* name,
                                                          void** address) {
    Region* region = device->memory.allocate(bytes, name);
    if (!region)
        return fail(device, SOFTCUDA_LAUNCH, "no memory for buffer `" + std::string(name) + "` of " +
                    std::to_string(bytes) +
                    " bytes: a device gives out 64 GiB of addresses in its life, less where the host has less memory");
    *address = reinterpret_cast<void*>(region->begin);
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) int softcuda_free(softcuda_device* device, void* address) {
    int kind = SOFTCUDA_OK;
    Region* region = region_for_copy(device, address, 0, "free", kind);
    if (!region) return kind;
    if (region->begin != reinterpret_cast<uintptr_t>(address))
        return fail(device, SOFTCUDA_OUT_OF_BOUNDS, "free: the address is inside of buffer `" +
                    std::string(region->name) + "`, not its beginning");
    device->memory.release(*region);
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) int softcuda_upload(softcuda_device* device, void* to, const void* from,
                                                           size_t bytes) {
    int kind = SOFTCUDA_OK;
    Region* region = region_for_copy(device, to, bytes, "upload", kind);
    if (!region) return kind;
    if (bytes) std::memcpy(to, from, bytes);
    const size_t offset = reinterpret_cast<uintptr_t>(to) - region->begin;
    region->mark_written(offset, bytes);
    device->accesses.note(*region, offset, bytes, true, "upload");
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) int softcuda_fill(softcuda_device* device, void* to, unsigned char value,
                                                         size_t bytes) {
    int kind = SOFTCUDA_OK;
    Region* region = region_for_copy(device, to, bytes, "fill", kind);
    if (!region) return kind;
    if (bytes) std::memset(to, value, bytes);
    const size_t offset = reinterpret_cast<uintptr_t>(to) - region->begin;
    region->mark_written(offset, bytes);
    device->accesses.note(*region, offset, bytes, true, "fill");
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) int softcuda_download(softcuda_device* device, void* to, const void* from,
                                                             size_t bytes) {
    int kind = SOFTCUDA_OK;
    Region* region = region_for_copy(device, from, bytes, "download", kind);
    if (!region) return kind;
    const size_t offset = reinterpret_cast<uintptr_t>(from) - region->begin;
    const size_t hole = region->first_unwritten(offset, bytes);
    if (hole < offset + bytes)
        return fail(device, SOFTCUDA_UNWRITTEN, "download: byte " + std::to_string(hole) + " of buffer `" +
                    region->name +
                    "` was never written, neither by the host nor by a kernel; check that the grid "
                    "covers every element");
    device->accesses.note(*region, offset, bytes, false, "download");
    if (bytes) std::memcpy(to, from, bytes);
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) int softcuda_check(softcuda_device* device, const void* at, size_t bytes,
                                                          softcuda_use use, const char* what) {
    int kind = SOFTCUDA_OK;
    Region* region = region_for_copy(device, at, bytes, what, kind);
    if (!region) return kind;
    const size_t offset = reinterpret_cast<uintptr_t>(at) - region->begin;
    device->accesses.note(*region, offset, bytes, use != SOFTCUDA_READ, what);
    if (use == SOFTCUDA_WRITE) region->mark_written(offset, bytes);
    if (use != SOFTCUDA_READ) return SOFTCUDA_OK;
    const size_t hole = region->first_unwritten(offset, bytes);
    if (hole < offset + bytes)
        return fail(device, SOFTCUDA_UNWRITTEN, std::string(what) + ": byte " + std::to_string(hole) +
                    " of buffer `" + region->name + "` was never written");
    return SOFTCUDA_OK;
}

__attribute__((visibility("default"))) void softcuda_watch(softcuda_device* device) { device->accesses.watched = true; }

__attribute__((visibility("default"))) void softcuda_take_accesses(softcuda_device* device, softcuda_access access,
                                                                   void* context) {
    for (const Accesses::Range& range : device->accesses.take())
        access(context, range.region->begin, range.begin, range.end, range.write, range.region->name,
               range.what.c_str());
}

__attribute__((visibility("default"))) uint64_t softcuda_take_trace(softcuda_device* device, softcuda_visit visit,
                                                                    void* context) {
    std::map<const void*, std::string> places;  // looking one up starts a program
    for (const Trace::Event& event : device->trace.events()) {
        softcuda_event told{event.kind, event.thread, event.count, 0, event.offset, 0, 0,
                            reinterpret_cast<uintptr_t>(event.pc), event.operation, ""};
        std::string wait;
        if (event.region) {
            const auto [place, is_new] = places.try_emplace(event.pc);
            if (is_new)
                for (const std::string& line : source_lines(event.pc))
                    place->second += (place->second.empty() ? "" : "\n") + line;
            told.is_shared = event.region->shared;
            told.array = event.region->begin;
            told.array_bytes = event.region->bytes;
            told.name = event.region->name;
            told.place = place->second.c_str();
        } else if (event.file) {
            wait = std::string(event.file) + ":" + std::to_string(event.line);
            told.place = wait.c_str();
        }
        visit(context, &told);
    }
    const uint64_t lost = device->trace.lost();
    device->trace.begin(0);
    return lost;
}

__attribute__((visibility("default"))) const char* softcuda_kernel_name(size_t index) {
    return index < kernels().size() ? kernels()[index].name.c_str() : nullptr;
}

__attribute__((visibility("default"))) const char* softcuda_kernel_parameters(const char* name) {
    const Kernel* kernel = find_kernel(name);
    return kernel ? kernel->description.c_str() : nullptr;
}

__attribute__((visibility("default"))) uint32_t softcuda_resident_blocks(uint32_t threads, size_t shared_bytes) {
    return resident_blocks(threads, shared_bytes);
}

__attribute__((visibility("default"))) int softcuda_launch(softcuda_device* device, const char* name,
                                                           softcuda_dim3 grid,
                                                            softcuda_dim3 block, size_t dynamic_shared_bytes,
                                                            void** args,
                                                            const softcuda_options* options, softcuda_report* report) {
    const std::string who = "kernel " + std::string(name) + ": ";
    const Kernel* kernel = find_kernel(name);
    if (!kernel) {
        std::string known;
        for (const Kernel& k : kernels()) known += (known.empty() ? "" : ", ") + k.name;
        return fail(device, SOFTCUDA_LAUNCH, who + "there is none of this name; the library has " + (known.empty()
            ? "none at all" : known) +
                    ". Is it in a SOFTCUDA_KERNELS line?");
    }
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads == 0 || threads > 1024)
        return fail(device, SOFTCUDA_LAUNCH, who + "a block of " + std::to_string(block.x) + " x " +
                    std::to_string(block.y) + " x " +
                    std::to_string(block.z) + " threads; it holds 1 to 1024, at most 64 of them in z");
    const uint64_t blocks = uint64_t(grid.x) * grid.y;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 || blocks > 0x7fffffffu
        || blocks * grid.z > 0x7fffffffu)
        return fail(device, SOFTCUDA_LAUNCH, who + "a grid of " + std::to_string(grid.x) + " x " +
                    std::to_string(grid.y) + " x " +
                    std::to_string(grid.z) +
                    " blocks; each side is at least 1, y and z at most 65535, and all together under 2^31");
    softcuda_options chosen = options ? *options : softcuda_options{0, 48 << 10, 0, 0, 0, 0};
    if (dynamic_shared_bytes > chosen.shared_limit || chosen.shared_limit > (227u << 10))
        return fail(device, SOFTCUDA_LAUNCH, who + std::to_string(dynamic_shared_bytes) +
                    " bytes of dynamic shared memory, limit " +
                    std::to_string(chosen.shared_limit) +
                    "; above 48 KiB raise `shared_limit` (to 227 KiB at most), as cuFuncSetAttribute would");
    if (chosen.trace_limit && chosen.traced_block >= blocks * grid.z)
        return fail(device, SOFTCUDA_LAUNCH, who + "a trace of block " + std::to_string(chosen.traced_block) +
                    ", and the grid has the blocks 0 to " + std::to_string(blocks * grid.z - 1));
    device->accesses.begin_kernel(name);
    softcuda_report counted{};
    Block& worker = block_of_this_thread();
    const bool ok = worker.run_grid(*device, *kernel, dim3(grid.x, grid.y, grid.z), dim3(block.x, block.y, block.z),
                                    dynamic_shared_bytes, args, chosen, counted);
    if (report) *report = counted;
    return ok ? SOFTCUDA_OK : fail(device, worker.kind, worker.message);
}

}
