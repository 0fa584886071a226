// Dropout: the kernels of src/ops/dropout.rs. The mask is never stored: the counter-based generator draws it again.
//
// Four neighbouring elements of a row share one block of Philox words, so a thread takes four elements. Rows whose
// length is no multiple of 4 end inside a block and begin unaligned; their elements are loaded one by one.
//
// Bytes: 8 m d.
// Operations per element: a quarter of a block of words, which takes 20 products of 64 bits and 40 exclusive ors.
#include "common.cuh"
#include "philox.cuh"

namespace dropout {

__device__ __forceinline__ void apply(const float* x, float* y, int d, uint64_t seed, const int* step, int of,
                                      float ratio, float scale) {
    const Philox stream = {seed, static_cast<uint32_t>(*step), blockIdx.x, static_cast<RngStream>(of)};
    // A selection, since an infinity times 0 would be NaN.
    const auto masked = [=](float value, uint32_t word) { return unit(word) >= ratio ? value * scale : 0.0f; };
    const size_t row = static_cast<size_t>(blockIdx.x) * d;
    for (int first = 4 * (blockIdx.y * blockDim.x + threadIdx.x); first < d; first += 4 * gridDim.y * blockDim.x) {
        const uint4 block = stream.block(first / 4);
        const uint32_t words[4] = {block.x, block.y, block.z, block.w};
        if (d % 4 == 0) {
            auto pack = load_floats<4>(x + row + first);
            for (int k = 0; k < 4; ++k) pack.at[k] = masked(pack.at[k], words[k]);
            store_floats(y + row + first, pack);
        } else {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                const size_t i = row + first + k;
                if (first + k < d) y[i] = masked(x[i], words[k]);
            }
        }
    }
}

}

// y [m, d] = x * scale if the random number of an element is at least `ratio`, else 0; scale = 1 / (1 - ratio). The
// derivative is the mask itself, so the backward pass is the same kernel with dy as x and dx as y. `y` may be `x`.
// `step` points to the step number, `stream` is that of the mask. Grid: (m, any): the blocks of one row share it; a
// small batch needs several blocks per row, of which the first d / (4 threads) have work.
extern "C" __global__ void dropout_f32(const float* x, float* y, int d, uint64_t seed, const int* step, int stream,
                                       float ratio, float scale) {
    dropout::apply(x, y, d, seed, step, stream, ratio, scale);
}

SOFTCUDA_KERNELS(dropout_f32)
