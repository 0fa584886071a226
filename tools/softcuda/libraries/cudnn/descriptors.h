// cuDNN's descriptors and status codes.
#pragma once

#include "../number.h"

#include <algorithm>
#include <utility>

namespace cudnn {

// The values of cuDNN 9's cudnnStatus_t that are in use here.
enum Status : int {
    OK = 0,
    NOT_INITIALIZED = 1001,
    BAD_PARAM = 2000,
    MISALIGNED = 2003,
    SIZE_INSUFFICIENT = 2006,
    SHAPE_MISMATCH = 2008,
    NOT_SUPPORTED = 3000,
    UNSUPPORTED_LAYOUT = 3004,
    EXECUTION_FAILED = 5000,
};

struct Handle {
    void* stream = nullptr;
};

// Sizes are always in the order N, C, H, W (of a filter K, C, R, S); the strides say how they lie.
struct Array {
    standin::Type type = standin::Type::F32;
    int size[4] = {};
    int stride[4] = {};
    bool is_set = false;

    size_t at(int n, int c, int h, int w) const {
        return static_cast<size_t>(n) * stride[0] + static_cast<size_t>(c) * stride[1] +
            static_cast<size_t>(h) * stride[2] +
               static_cast<size_t>(w) * stride[3];
    }
    size_t count() const { return static_cast<size_t>(size[0]) * size[1] * size[2] * size[3]; }
    // True if no two elements overlap.
    bool is_injective() const {
        std::pair<int, int> sides[4];
        for (int i = 0; i < 4; i++) sides[i] = {stride[i], size[i]};
        std::sort(sides, sides + 4);
        int64_t reach = 0;  // from the first to the last element of the sides so far
        for (const auto& [step, count] : sides) {
            if (count > 1 && step <= reach) return false;
            reach += static_cast<int64_t>(step) * (count - 1);
        }
        return true;
    }
    // From the first to behind the last element.
    size_t span() const { return at(size[0] - 1, size[1] - 1, size[2] - 1, size[3] - 1) + 1; }
    bool is_packed_nhwc() const {
        const auto [n, c, h, w] = size;
        return stride[1] == 1 && stride[3] == c && stride[2] == c * w && stride[0] == c * w * h && n > 0;
    }
};

struct Convolution {
    int pad[2] = {}, stride[2] = {}, dilation[2] = {};
    int groups = 1, math = 0;
    bool is_set = false;
};

}
