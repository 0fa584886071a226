// Modules, their kernels, and launches.
#include "driver.h"

#include <cstring>
#include <utility>

using namespace standin;

namespace {

struct Function {
    std::string name;
    std::vector<size_t> sizes;  // of its parameters, in bytes
    uint32_t shared_limit = 48 << 10;
};

struct Module {
    std::map<std::string, std::unique_ptr<Function>> functions;
};

// "p8i4" to 8, 4.
std::vector<size_t> sizes_of(const char* description) {
    std::vector<size_t> sizes;
    for (const char* at = description; *at; ++at) {
        if (*at < '0' || *at > '9') {
            sizes.push_back(0);
        } else {
            sizes.back() = sizes.back() * 10 + static_cast<size_t>(*at - '0');
        }
    }
    return sizes;
}

}

// The kernels are those of SOFTCUDA_KERNELS for every image; the image only has to be a fatbin.
STANDIN_API Result cuModuleLoadData(Module** module, const void* image) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (refused_by_capture("cuModuleLoadData")) return STREAM_CAPTURE_UNSUPPORTED;
    uint32_t magic = 0;
    std::memcpy(&magic, image, sizeof(magic));
    if (magic != 0xBA55ED50u) return INVALID_IMAGE;
    *module = new Module;
    return SUCCESS;
}

STANDIN_API Result cuModuleUnload(Module* module) {
    ANSWER_PLANTED(Result);
    Call call;
    const Result drained = drain_all();
    delete module;
    return drained;
}

STANDIN_API Result cuModuleGetFunction(Function** function, Module* module, const char* name) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    const char* description = call.d.kernels.kernel_parameters(name);
    if (!description) return NOT_FOUND;
    auto& known = module->functions[name];
    if (!known) known.reset(new Function{name, sizes_of(description)});
    *function = known.get();
    return SUCCESS;
}

STANDIN_API Result cuFuncSetAttribute(Function* function, int attribute, int value) {
    ANSWER_PLANTED(Result);
    Call call;
    constexpr int max_dynamic_shared_bytes = 8;
    if (attribute != max_dynamic_shared_bytes) {
        say("cuFuncSetAttribute: attribute " + std::to_string(attribute) + " is not supported");
        return NOT_SUPPORTED;
    }
    if (value < 0 || value > 227 << 10) return INVALID_VALUE;
    function->shared_limit = static_cast<uint32_t>(value);
    return SUCCESS;
}

namespace {

// Arguments are copied now, as the driver does: a captured launch keeps these. `multiprocessors` is 0 unless the launch
// is cooperative.
Result launch(Function* function, softcuda_dim3 grid, softcuda_dim3 block, unsigned shared_bytes, void* stream,
              void** arguments, uint32_t multiprocessors) {
    const uint64_t threads = uint64_t(block.x) * block.y * block.z;
    if (!grid.x || !grid.y || !grid.z || !threads || threads > 1024 || shared_bytes > function->shared_limit) {
        say("kernel " + function->name + ": a launch of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
            " x " +
            std::to_string(grid.z) + " blocks of " + std::to_string(threads) + " threads with " +
            std::to_string(shared_bytes) + " bytes of shared memory is impossible");
        return INVALID_VALUE;
    }
    if (multiprocessors) {
        const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
        const uint64_t each = driver().kernels.resident_blocks(static_cast<uint32_t>(threads), shared_bytes);
        if (blocks > each * multiprocessors) {
            say("kernel " + function->name + ": a cooperative launch of " + std::to_string(blocks) + " blocks, and " +
                std::to_string(each * multiprocessors) + " fit on the device at once");
            return COOPERATIVE_LAUNCH_TOO_LARGE;
        }
    }
    auto values = std::make_shared<std::vector<std::vector<char>>>();
    for (size_t i = 0; i < function->sizes.size(); i++) {
        const auto* from = arguments ? static_cast<const char*>(arguments[i]) : nullptr;
        if (!from) {
            say("kernel " + function->name + ": " + std::to_string(i) + " arguments are given, it has " +
                std::to_string(function->sizes.size()) + " parameters");
            return INVALID_VALUE;
        }
        values->emplace_back(from, from + function->sizes[i]);
    }
    return enqueue(stream, [=, name = function->name, limit = function->shared_limit](softcuda_device* device) {
        Driver& d = driver();
        if (d.idle) return int(SOFTCUDA_OK);
        std::vector<void*> pointers;
        for (auto& value : *values) pointers.push_back(value.data());
        const softcuda_options options{d.seed + ++d.launches, limit, 0, multiprocessors, 0, 0};
        softcuda_report report{};
        const int fault =
            d.kernels.launch(device, name.c_str(), grid, block, shared_bytes, pointers.data(), &options, &report);
        Count& count = d.counts[name];
        ++count.launches;
        count.bytes_read += report.global_bytes_read;
        count.bytes_written += report.global_bytes_written;
        return fault;
    });
}

}

void softcuda_take_counts(void (*visit)(void*, const char*, uint64_t, uint64_t, uint64_t), void* context) {
    Call call;
    for (const auto& [kernel, count] : std::exchange(call.d.counts, {}))
        visit(context, kernel.c_str(), count.launches, count.bytes_read, count.bytes_written);
}

STANDIN_API Result cuLaunchKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                  unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                  void* stream, void** arguments, void** extra) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (extra) return NOT_SUPPORTED;
    return launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, stream, arguments, 0);
}

STANDIN_API Result cuLaunchCooperativeKernel(Function* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                             unsigned block_x, unsigned block_y, unsigned block_z,
                                             unsigned shared_bytes, void* stream, void** arguments) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (!call.d.cooperative) return NOT_SUPPORTED;
    return launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, stream, arguments,
                  static_cast<uint32_t>(call.d.multiprocessors));
}

STANDIN_API Result cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads,
                                                               size_t shared_bytes) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (threads <= 0) return INVALID_VALUE;
    const bool possible = shared_bytes <= function->shared_limit;
    *blocks = possible ? static_cast<int>(call.d.kernels.resident_blocks(static_cast<uint32_t>(threads), shared_bytes))
                       : 0;
    return SUCCESS;
}
