// Assembly of a training batch on the device from a resident data set of bytes. The results equal those of
// src/data/sampler.rs (choice of images), src/data/augment.rs (augmentation) and src/data/input.rs (conversion of bytes
// to input values), bit for bit.
//
// A batch is a function of (seed, step), and the step is read through a pointer, so that a captured graph can be
// replayed.
//
// Bytes per image: assemble_pixels reads 3 H W and writes b C H W, with b the bytes of an element; each block also
// reads the table of values, 3 KiB, from the L2 cache. The samplers move few bytes: their time is that of a launch.
#include "common.cuh"
#include "philox.cuh"
#include "view.cuh"

namespace assemble {

// The m distinct numbers of 0..n that `Philox::distinct` draws, by Floyd's algorithm: draw i is a number of
// 0..=first + i; if that number is already in the sample, first + i enters the sample instead.
//
// The algorithm is sequential, but membership can be computed in parallel from all draws: a number that an earlier draw
// produced is in the sample, since that draw either added it or found it there. Any other number can only be first + j
// of an earlier draw j, which added it if its own number was already in the sample; this recursion goes back over few
// draws.
__device__ __forceinline__ void sample(int* chosen, int m, int n, uint64_t seed, int step) {
    extern __shared__ int drawn[];
    int* const repeated = drawn + m;
    const Philox draws = {seed, static_cast<uint32_t>(step), 0, RngStream::Sampler};
    const int first = n - m;
    for (int block = threadIdx.x; block * 4 < m; block += blockDim.x) {
        const uint4 block_words = draws.block(block);
        const uint32_t words[4] = {block_words.x, block_words.y, block_words.z, block_words.w};
        for (int k = 0; k < 4; ++k) {
            const int i = block * 4 + k;
            if (i < m) drawn[i] = below(words[k], first + i + 1);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < m; i += blockDim.x) {
        bool seen = false;
        for (int j = 0; j < i; ++j) seen |= drawn[j] == drawn[i];
        repeated[i] = seen;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < m; i += blockDim.x) {
        int draw = i, before = drawn[i] - first;
        while (!repeated[draw] && 0 <= before && before < draw) {
            draw = before;
            before = drawn[draw] - first;
        }
        chosen[i] = repeated[draw] ? first + i : drawn[i];
    }
}

// The parameters of the conversion (`ImageInput`). The table of values is [3, 256], by output channel.
struct Conversion {
    const float* table;
    int bgr;
};

// Stores the C values of one pixel, with the widest stores that its alignment allows.
template <int C, class T> __device__ __forceinline__ void store_pixel(T* to, const T (&values)[C]) {
    constexpr int N = C == 3 ? 1 : C < PACK<T> ? C : PACK<T>;
    for (int k = 0; k < C; k += N) {
        Pack<T, N> part;
        for (int l = 0; l < N; ++l) part.at[l] = values[k + l];
        store<N>(to + k, part);
    }
}

// Fills this block's pixels of its image [height, width, C]; channels above 3 are 0.
template <int C, class T>
__device__ __forceinline__ void fill(const view::Images& images, const view::View& seen, int edge, int bgr,
                                     const float* table, T* out) {
    const bool known = seen.image >= 0;
    for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < images.height * images.width;
         i += gridDim.y * blockDim.x) {
        const uint8_t* pixel = view::pixel(images, seen, edge, i);
        T values[C] = {};
        for (int c = 0; c < 3; ++c) {
            const int byte = pixel ? pixel[bgr ? 2 - c : c] : 0;  // the value of black need not be 0
            values[c] = from_float<T>(known ? table[c * 256 + byte] : NAN);
        }
        store_pixel<C>(out + static_cast<size_t>(i) * C, values);
    }
}

// Computes pixels [m, height, width, channels] and labels [m] of the chosen images [m], whose classes are [n].
template <class T>
__device__ __forceinline__ void pixels(const view::Images& images, const view::Augmentation& augmentation,
                                       const Conversion& conversion, const int* classes, const int* chosen, T* out,
                                       int* labels, int channels, uint64_t seed, int step) {
    __shared__ float table[3 * 256];
    __shared__ view::View shared_view;
    const size_t slot = blockIdx.x;
    if (threadIdx.x == 0) {
        shared_view = view::of(images, augmentation, chosen[slot], view::draws(seed, step, slot));
        if (blockIdx.y == 0) labels[slot] = shared_view.image < 0 ? -1 : classes[shared_view.image];
    }
    for (int i = threadIdx.x; i < 3 * 256; i += blockDim.x) table[i] = conversion.table[i];
    __syncthreads();
    out += slot * images.height * images.width * channels;
    const int edge = augmentation.edge, bgr = conversion.bgr;
    if (channels == 8) {
        fill<8>(images, shared_view, edge, bgr, table, out);
    } else if (channels == 4) {
        fill<4>(images, shared_view, edge, bgr, table, out);
    } else {
        fill<3>(images, shared_view, edge, bgr, table, out);
    }
}

}

// The sampler `Random`: chosen [m] are m distinct numbers of 0..n, with m at most n. Grid: one block, with 8 m bytes of
// dynamic shared memory.
extern "C" __global__ void assemble_sample(int* chosen, int m, int n, uint64_t seed, const int* step) {
    assemble::sample(chosen, m, n, seed, *step);
}

// The other samplers: chosen [m] is the row of this step in the epoch's order [turns, m], which the host uploads before
// each epoch. Grid: m threads or fewer.
extern "C" __global__ void assemble_turn(const int* order, int* chosen, int m, int turns, const int* step) {
    const size_t turn = static_cast<uint32_t>(*step) % static_cast<uint32_t>(turns);
    for (size_t i = thread_of_grid(); i < m; i += threads_of_grid()) chosen[i] = order[turn * m + i];
}

// The batch: pixels [m, height, width, channels], with 3, 4 or 8 channels, and labels [m] of the images [n,
// image_height, image_width, 3], which are no smaller; `flip` is a view::Flip. A chosen number outside of 0..n reads
// nothing and gives NaN pixels and the label -1. Grid: (m, any), best with about 4 pixels per thread: with fewer the
// table costs too much, with more a small batch has too few threads.
extern "C" __global__ void assemble_pixels_f32(const uint8_t* __restrict__ bytes, const int* __restrict__ classes,
                                               const int* __restrict__ chosen, const float* __restrict__ table,
                                               float* pixels, int* labels, int n, int image_height, int image_width,
                                               int height, int width, int channels, int flip, int pad, int edge,
                                               int bgr, uint64_t seed, const int* step) {
    assemble::pixels({bytes, n, image_height, image_width, height, width}, {flip, pad, edge}, {table, bgr}, classes,
                     chosen, pixels, labels, channels, seed, *step);
}
extern "C" __global__ void assemble_pixels_bf16(const uint8_t* __restrict__ bytes, const int* __restrict__ classes,
                                                const int* __restrict__ chosen, const float* __restrict__ table,
                                                bf16* pixels, int* labels, int n, int image_height, int image_width,
                                                int height, int width, int channels, int flip, int pad, int edge,
                                                int bgr, uint64_t seed, const int* step) {
    assemble::pixels({bytes, n, image_height, image_width, height, width}, {flip, pad, edge}, {table, bgr}, classes,
                     chosen, pixels, labels, channels, seed, *step);
}

SOFTCUDA_KERNELS(assemble_sample, assemble_turn, assemble_pixels_f32, assemble_pixels_bf16)
