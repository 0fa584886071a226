// Colour jitter of the images of a batch: the bytes of their views with random brightness, contrast and saturation,
// equal to those of src/data/jitter.rs, bit for bit. cuda/assemble.cu converts the result to input values.
//
// The mean grey, which contrast needs, is a sum of integers: its order does not matter. All other arithmetic is f32,
// one correctly rounded operation after the other: the intrinsics keep the compiler from merging them.
//
// Bytes per image: reads 2 x 3 H W (the second time from the L2 cache), writes 3 H W. A block has one image, so that a
// batch of 64 keeps half of a chip busy.
#include "view.cuh"

namespace jitter {

// A uniform number of a range.
struct Range {
    float low, span;
    __device__ __forceinline__ float at(uint32_t word) const {
        return __fadd_rn(low, __fmul_rn(unit(word), span));
    }
};

struct Pixel {
    int red, green, blue;
};

__device__ __forceinline__ int grey(Pixel p) {
    return (19595 * p.red + 38470 * p.green + 7471 * p.blue + (1 << 15)) >> 16;
}

// d + f (v - d), truncated to a byte.
__device__ __forceinline__ int blend(int d, int v, float factor) {
    const float exact = __fadd_rn(__int2float_rn(d), __fmul_rn(factor, __int2float_rn(v - d)));
    return min(max(__float2int_rz(exact), 0), 255);
}
__device__ __forceinline__ Pixel blend(int d, Pixel p, float factor) {
    return {blend(d, p.red, factor), blend(d, p.green, factor), blend(d, p.blue, factor)};
}

__device__ __forceinline__ Pixel load_pixel(const view::Images& images, const view::View& seen, int edge, int i) {
    const uint8_t* bytes = view::pixel(images, seen, edge, i);
    if (!bytes) return {0, 0, 0};
    return {bytes[0], bytes[1], bytes[2]};
}

__device__ __forceinline__ void bytes(const view::Images& images, const view::Augmentation& augmentation,
                                      const int* classes, const int* chosen, uint8_t* seen_bytes, int* seen_classes,
                                      int* places, Range brightnesses, Range contrasts, Range saturations,
                                      uint64_t seed, int step) {
    __shared__ unsigned scratch[LANES];
    const int slot = blockIdx.x, pixels = images.height * images.width, edge = augmentation.edge;
    const Philox draws = view::draws(seed, step, slot);
    const view::View seen = view::of(images, augmentation, chosen[slot], draws);
    const uint4 words = draws.block(1);
    const float brightness = brightnesses.at(words.x), contrast = contrasts.at(words.y);
    const float saturation = saturations.at(words.z);
    if (threadIdx.x == 0) {
        seen_classes[slot] = seen.image < 0 ? -1 : classes[seen.image];
        places[slot] = seen.image < 0 ? -1 : slot;
    }
    unsigned greys = 0;  // at most 255 x 2^24
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
        greys += grey(blend(0, load_pixel(images, seen, edge, i), brightness));
    }
    greys = block_reduce<Sum>(greys, 0u, scratch);
    const uint64_t n = pixels;
    const int mean = static_cast<int>((2 * static_cast<uint64_t>(greys) + n) / (2 * n));
    uint8_t* out = seen_bytes + static_cast<size_t>(slot) * pixels * 3;
    for (int i = threadIdx.x; i < pixels; i += blockDim.x) {
        const Pixel bright = blend(0, load_pixel(images, seen, edge, i), brightness);
        const Pixel strong = blend(mean, bright, contrast);
        const Pixel own = blend(grey(strong), strong, saturation);
        out[3 * i] = own.red;
        out[3 * i + 1] = own.green;
        out[3 * i + 2] = own.blue;
    }
}

}

// The views of the chosen images [m] with random colours: seen_bytes [m, height, width, 3], seen_classes [m], and their
// places 0..m. A chosen number outside of 0..n gives black, the class -1 and the place -1. The other arguments are
// those of `assemble_pixels`; a factor is uniform from `low` on over `span`. Grid: m.
extern "C" __global__ void jitter_bytes(const uint8_t* __restrict__ bytes, const int* __restrict__ classes,
                                        const int* __restrict__ chosen, uint8_t* seen_bytes, int* seen_classes,
                                        int* places, int n, int image_height, int image_width, int height, int width,
                                        int flip, int pad, int edge, float brightness_low, float brightness_span,
                                        float contrast_low, float contrast_span, float saturation_low,
                                        float saturation_span, uint64_t seed, const int* step) {
    jitter::bytes({bytes, n, image_height, image_width, height, width}, {flip, pad, edge}, classes, chosen, seen_bytes,
                  seen_classes, places, {brightness_low, brightness_span}, {contrast_low, contrast_span},
                  {saturation_low, saturation_span}, seed, *step);
}

SOFTCUDA_KERNELS(jitter_bytes)
