// Arrays of f32 or bf16 as the stand-in libraries read and write them: arithmetic is always f32.
#pragma once

#include "work.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace standin {

enum class Type { F32, BF16 };

inline size_t bytes_of(Type type) { return type == Type::F32 ? 4 : 2; }

inline float get(Type type, const void* data, size_t i) {
    if (type == Type::F32) return static_cast<const float*>(data)[i];
    const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(data)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

// Rounds to nearest, ties to even; every NaN becomes 0x7fff.
inline void put(Type type, void* data, size_t i, float value) {
    if (type == Type::F32) {
        static_cast<float*>(data)[i] = value;
        return;
    }
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    static_cast<uint16_t*>(data)[i] =
        value != value ? 0x7fff : static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Rounds to the 10 bits of mantissa of TF32, to nearest, ties to even; infinities and NaNs stay.
inline float to_tf32(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7f800000u) == 0x7f800000u) return value;
    bits = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
}

// True if a library function may read, or overwrite, `elements` of a device array; otherwise the device has the reason.
inline int may_read(softcuda_device* device, const void* data, Type type, size_t elements, const char* what) {
    return softcuda_device_check(device, data, elements * bytes_of(type), SOFTCUDA_READ, what);
}
inline int may_write(softcuda_device* device, const void* data, Type type, size_t elements, const char* what) {
    return softcuda_device_check(device, data, elements * bytes_of(type), SOFTCUDA_WRITE, what);
}

// Simulates the use of a workspace: afterwards its beginning has NaNs.
inline int work_in(softcuda_device* device, void* workspace, size_t bytes, const char* what) {
    if (!bytes) return SOFTCUDA_OK;
    if (const int fault = softcuda_device_check(device, workspace, bytes, SOFTCUDA_SCRATCH, what)) return fault;
    std::memset(workspace, 0xff, std::min(bytes, size_t(64) << 10));
    return SOFTCUDA_OK;
}

}
