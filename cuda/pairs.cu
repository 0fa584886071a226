// Pairs of a batch: the kernels of src/ops/pairs.rs, for the losses whose value depends on the distances or the inner
// products of all pairs alone.
//
// Distances come from `batch_contrastive_distances`, inner products from `pairs_products`; both are tiles of
// cuda/pairs.cuh. The backward pass of every such loss is one kernel: it reads a matrix of weights [m, m] that the loss
// has computed. A block has 4 images and a slice of the features, so that each feature of a partner is loaded once for
// 4 images; a partner without a weight for any of them is not loaded. The weights of 64 partners at a time are in
// shared memory, summed over both sides of the pair.
//
// Bytes of the backward pass, when the gradient is written: 8 m^2 for each slice of 256 features (64 threads of 4), and
// 4 m D (1 + p / 4) + 4 m D, with p the number of partners that have a weight for one of the 4 images: m at most, a few
// for a loss of the hardest pairs. The weights and the features of a batch of 256 x 2,048 (2.3 MiB) stay in the L2
// cache, from which the dense case reads 128 MiB.
#include "pairs.cuh"

namespace pairs {

// The images of a block, and the partners whose weights are in shared memory at a time.
constexpr int IMAGES = 4, PARTNERS = 64;

// Computes dx of IMAGES images in packs of N; see the kernel.
template <int N>
__device__ __forceinline__ void backward(const float* __restrict__ weights, const float* __restrict__ scales,
                                         const float* __restrict__ x, const float* __restrict__ dy,
                                         float* __restrict__ dx, bool differences, bool accumulate, int m, int d) {
    __shared__ Pack<float, IMAGES> both_sides[PARTNERS];
    const int first = blockIdx.x * IMAGES, k = (blockIdx.y * blockDim.x + threadIdx.x) * N;
    const bool inside = k < d;
    const float above = scales[0], below = scales[1];
    const auto scaled = [&](float weight) { return weight > 0.0f ? weight * above : weight * below; };
    // Without differences, own is 0 and the sum that of -w x_j.
    Pack<float, N> own[IMAGES] = {}, total[IMAGES] = {};
    const float factor = differences ? *dy : -*dy;
    if (inside && differences) {
#pragma unroll
        for (int image = 0; image < IMAGES; ++image) {
            if (first + image < m) own[image] = load<N>(x + static_cast<size_t>(first + image) * d + k);
        }
    }
    for (int begin = 0; begin < m; begin += PARTNERS) {
        __syncthreads();  // all threads have used the previous weights
        for (int at = threadIdx.x; at < IMAGES * PARTNERS; at += blockDim.x) {
            const int image = at / PARTNERS, partner = at % PARTNERS;
            const size_t i = first + image, j = begin + partner;
            const bool exists = i < m && j < m;
            both_sides[partner].at[image] = exists ? scaled(weights[i * m + j]) + scaled(weights[j * m + i]) : 0.0f;
        }
        __syncthreads();  // the weights of these partners are complete
        if (!inside) continue;
        const int partners = min(PARTNERS, m - begin);
        for (int partner = 0; partner < partners; ++partner) {
            const Pack<float, IMAGES> weight = both_sides[partner];
            bool any = false;
#pragma unroll
            for (int image = 0; image < IMAGES; ++image) any = any || weight.at[image] != 0.0f;
            if (!any) continue;
            const auto other = load<N>(x + static_cast<size_t>(begin + partner) * d + k);
#pragma unroll
            for (int image = 0; image < IMAGES; ++image) {
                for (int l = 0; l < N; ++l) {
                    total[image].at[l] += weight.at[image] * (own[image].at[l] - other.at[l]);
                }
            }
        }
    }
    if (!inside) return;
#pragma unroll
    for (int image = 0; image < IMAGES; ++image) {
        if (first + image >= m) continue;
        float* to = dx + static_cast<size_t>(first + image) * d + k;
        Pack<float, N> old = {};
        if (accumulate) old = load<N>(to);
        for (int l = 0; l < N; ++l) {
            total[image].at[l] = merged(old.at[l], factor * total[image].at[l], accumulate);
        }
        store<N>(to, total[image]);
    }
}

}

// partial [splits, m, m]: the inner products of the rows of x [m, d] over each part of the features. Grid: (T / 2 + 1,
// T, splits) with T = ceil(m / 16). Block: 256.
extern "C" __global__ void __launch_bounds__(pairs::THREADS)
    pairs_products(const float* __restrict__ x, float* __restrict__ partial, int m, int d) {
    pairs::tile<pairs::Product>(x, partial, m, d);
}

// dx [m, d], written or added: dy [1] times sum_j (s w_ij + s w_ji) t_ij with weights w [m, m]; t_ij is x_i - x_j if
// `differences` is not 0, else x_j; s is scales[0] for a positive weight and scales[1] for a negative one. Grid:
// (ceil(m / 4), slices) blocks; a thread has 4 features, or one if d is no multiple of 4: slices = ceil(d / (4 block))
// or ceil(d / block).
extern "C" __global__ void pairs_backward(const float* __restrict__ weights, const float* __restrict__ scales,
                                          const float* __restrict__ x, const float* __restrict__ dy,
                                          float* __restrict__ dx, int differences, int accumulate, int m, int d) {
    if (d % 4 == 0) {
        pairs::backward<4>(weights, scales, x, dy, dx, differences, accumulate, m, d);
    } else {
        pairs::backward<1>(weights, scales, x, dy, dx, differences, accumulate, m, d);
    }
}

SOFTCUDA_KERNELS(pairs_products, pairs_backward)
