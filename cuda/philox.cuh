// Philox 4x32-10, a counter-based random generator (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1,
// 2, 3", SC 2011). The numbers equal those of src/tensor/philox.rs, bit for bit: a draw is a pure function of
// (seed, step, image, stream, index), so nothing is stored and a backward pass draws its mask again.
#pragma once

#include <stdint.h>

// The streams of random numbers that kernels draw; the values are those of `RngStream` in src/tensor/philox.rs.
enum class RngStream : uint32_t { Sampler = 2, Augment = 3, Dropout = 4, Test = 6, Verification = 9 };

// The random numbers of one (seed, step, image, stream).
struct Philox {
    uint64_t seed;
    uint32_t step, image;
    RngStream stream;

    // The words 4 * index to 4 * index + 3 of the sequence.
    __device__ __forceinline__ uint4 block(uint32_t index) const {
        uint4 counter = make_uint4(index, image, step, static_cast<uint32_t>(stream));
        uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
        for (int round = 0; round < 10; ++round) {
            const uint64_t p0 = static_cast<uint64_t>(0xD2511F53u) * counter.x;
            const uint64_t p1 = static_cast<uint64_t>(0xCD9E8D57u) * counter.z;
            counter = make_uint4(static_cast<uint32_t>(p1 >> 32) ^ counter.y ^ key0, static_cast<uint32_t>(p1),
                                 static_cast<uint32_t>(p0 >> 32) ^ counter.w ^ key1, static_cast<uint32_t>(p0));
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        return counter;
    }
};

// Converts the top 24 bits of a word to a number in [0, 1).
__device__ __forceinline__ float unit(uint32_t word) { return static_cast<float>(word >> 8) * (1.0f / 16777216.0f); }

// A uniform integer in 0..n, by the high half of a product; 0 when `n` is 0.
__device__ __forceinline__ uint32_t below(uint32_t word, uint32_t n) { return __umulhi(word, n); }
