// Random erasing: a rectangle of each image of an assembled batch is overwritten, with the draws and the values of
// src/data/erase.rs, bit for bit. The arithmetic of a rectangle is f32, one correctly rounded operation after the
// other: the intrinsics keep the compiler from merging them.
//
// Bytes per image: b C for each erased pixel, with b the bytes of an element; on average a fifth of the erased images.
#include "view.cuh"

namespace erase {

// Tries until a rectangle fits, and the blocks of four words: the decision, the first try, the noise of the first
// pixel.
constexpr int TRIES = 100;
constexpr uint32_t DECISION = 2, FIRST_TRY = 3, NOISE = 128;

struct Rectangle {
    int top, left, height, width;
};

// `Erase` in src/data/erase.rs, with the ranges of areas and aspects as their low ends and their lengths.
struct Options {
    float probability, area_low, area_span, aspect_low, aspect_span;
};

__device__ __forceinline__ float uniform(uint32_t word, float low, float span) {
    return __fadd_rn(low, __fmul_rn(unit(word), span));
}

// The rectangle of an image; without pixels if it stays whole.
__device__ __forceinline__ Rectangle rectangle(const Philox& draws, const Options& options, int height, int width) {
    if (unit(draws.block(DECISION).x) >= options.probability) return {};
    const float pixels = __int2float_rn(height * width);
    for (int attempt = 0; attempt < TRIES; ++attempt) {
        const uint4 words = draws.block(FIRST_TRY + attempt);
        const float area = __fmul_rn(uniform(words.x, options.area_low, options.area_span), pixels);
        const float aspect = uniform(words.y, options.aspect_low, options.aspect_span);
        const int rows = __float2int_rn(__fsqrt_rn(__fmul_rn(area, aspect)));
        const int columns = __float2int_rn(__fsqrt_rn(__fdiv_rn(area, aspect)));
        if (rows < height && columns < width) {
            return {static_cast<int>(below(words.z, height - rows + 1)),
                    static_cast<int>(below(words.w, width - columns + 1)), rows, columns};
        }
    }
    return {};
}

template <class T>
__device__ __forceinline__ void pixels(T* batch, const float* table, int height, int width, int channels,
                                       const Options& options, int noise, int bgr, uint64_t seed, int step) {
    __shared__ Rectangle erased;
    const size_t slot = blockIdx.x;
    const Philox draws = view::draws(seed, step, slot);
    if (threadIdx.x == 0) erased = rectangle(draws, options, height, width);
    __syncthreads();
    T* image = batch + slot * height * width * channels;
    for (int k = blockIdx.y * blockDim.x + threadIdx.x; k < erased.height * erased.width;
         k += gridDim.y * blockDim.x) {
        const int i = (erased.top + k / erased.width) * width + erased.left + k % erased.width;
        uint32_t word = 0;
        if (noise) {
            const uint4 words = draws.block(NOISE + i / 4);
            word = i % 4 == 0 ? words.x : i % 4 == 1 ? words.y : i % 4 == 2 ? words.z : words.w;
        }
        for (int c = 0; c < 3; ++c) {
            const int byte = word >> 8 * (bgr ? 2 - c : c) & 255;
            image[static_cast<size_t>(i) * channels + c] = from_float<T>(noise ? table[c * 256 + byte] : 0.0f);
        }
    }
}

}

// Overwrites a rectangle of each image of pixels [m, height, width, channels] with 0, or with the values of noise by
// the table [3, 256] of `assemble_pixels`. Grid: (m, any).
extern "C" __global__ void erase_pixels_f32(float* pixels, const float* __restrict__ table, int height, int width,
                                            int channels, float probability, float area_low, float area_span,
                                            float aspect_low, float aspect_span, int noise, int bgr, uint64_t seed,
                                            const int* step) {
    erase::pixels(pixels, table, height, width, channels,
                  {probability, area_low, area_span, aspect_low, aspect_span}, noise, bgr, seed, *step);
}
extern "C" __global__ void erase_pixels_bf16(bf16* pixels, const float* __restrict__ table, int height, int width,
                                             int channels, float probability, float area_low, float area_span,
                                             float aspect_low, float aspect_span, int noise, int bgr, uint64_t seed,
                                             const int* step) {
    erase::pixels(pixels, table, height, width, channels,
                  {probability, area_low, area_span, aspect_low, aspect_span}, noise, bgr, seed, *step);
}

SOFTCUDA_KERNELS(erase_pixels_f32, erase_pixels_bf16)
