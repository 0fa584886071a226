// The batch-contrastive loss: the kernels of src/ops/batch_contrastive.rs, equations (3), (4), (7), (8) of the paper.
//
// Four launches: distances of all pairs, the terms of each image, their sums, and in the backward pass the gradient.
// Features are f32, the type of pooling and normalisation; there is no bf16 version.
//
// Distances are sums of squared differences, not ||a||^2 + ||b||^2 - 2 a.b, whose rounding error exceeds the distances
// of near duplicates. A block computes a tile of 16 x 16 distances over a part of the features, in chunks of 64
// features of 16 + 16 images in shared memory. The features are split because a batch of 16 is a single tile, which
// would leave all but one multiprocessor idle. The host computes the number of parts (`splits`) from m and D alone, so
// that the bits do not depend on the chip:
//
//   splits = min(ceil(D / 64), ceil(512 / tiles)), tiles = T (T + 1) / 2, T = ceil(m / 16).
//
// The partial sums then take at most 1 MiB more than the 4 m^2 bytes of one part.
//
// Distances: m^2 D operations (half the pairs, a subtraction and a multiply-add each); bytes 64 D T (T + 1) from the
// L2 cache, and 4 splits m^2 written. For 4 features a warp does 8 operations (2 cycles of a multiprocessor of 128
// lanes) and reads at least 3 lines of 128 bytes from shared memory (3 cycles): shared memory limits a large batch.
// More pairs per thread would raise this limit, but leave most threads idle in a batch of 16, which is launch-bound.
// Rows: bytes 4 splits m^2 + 8 m D. Backward: bytes 4 m D (3 + p) when the gradient is written, with p the number of
// partners with a nonzero weight: the images of the same identity and a few hardest negatives. In a batch of one
// identity p is m; m x_i minus the sum over all would be cheaper, but inaccurate for near duplicates in f32.
#include "pairs.cuh"

namespace batch_contrastive {

// The terms in the order of `Term` in the Rust file. For one image: half of its positive sum, its hinge and center
// term, the number of its positives, the sums of the distances to positives and to negatives, the smallest squared
// distance to a negative.
struct Terms {
    float positive, hinge, center, positive_pairs, intra, inter, nearest;
};

// Partial sums of `Terms`.
struct Partial {
    float positive, hinge, center, intra, inter, nearest;
    int positives;
    int hardest;  // the index of the nearest negative, or -1
};

__device__ __forceinline__ Partial no_image() { return {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, INFINITY, 0, -1}; }

__device__ __forceinline__ Partial shuffle_xor(Partial p, int lanes) {
    using ::shuffle_xor;
    return {shuffle_xor(p.positive, lanes),  shuffle_xor(p.hinge, lanes), shuffle_xor(p.center, lanes),
            shuffle_xor(p.intra, lanes),     shuffle_xor(p.inter, lanes), shuffle_xor(p.nearest, lanes),
            shuffle_xor(p.positives, lanes), shuffle_xor(p.hardest, lanes)};
}

struct Merge {
    __device__ __forceinline__ Partial operator()(Partial a, Partial b) const {
        const bool takes_b = b.nearest < a.nearest || (b.nearest == a.nearest && b.hardest < a.hardest);
        return {a.positive + b.positive,
                a.hinge + b.hinge,
                a.center + b.center,
                a.intra + b.intra,
                a.inter + b.inter,
                takes_b ? b.nearest : a.nearest,
                a.positives + b.positives,
                takes_b ? b.hardest : a.hardest};
    }
};

// This lane's partial sum of ||a - b||^2, in packs of N.
template <int N>
__device__ __forceinline__ float squared_distance(const float* __restrict__ a, const float* __restrict__ b, int d) {
    Pack<float, N> sums = {};
#pragma unroll 4
    for (int k = threadIdx.x % LANES * N; k < d; k += LANES * N) {
        const auto a_pack = load<N>(a + k), b_pack = load<N>(b + k);
        for (int l = 0; l < N; ++l) {
            const float difference = a_pack.at[l] - b_pack.at[l];
            sums.at[l] += difference * difference;
        }
    }
    float sum = 0.0f;
    for (const float part : sums.at) sum += part;
    return sum;
}

// The factor on the sums over a batch of m images: 1/m for the mean, else 1.
__device__ __forceinline__ float reduction_factor(int mean, int m) {
    return mean ? 1.0f / static_cast<float>(m) : 1.0f;
}

// Computes dx of one image in packs of N; see the kernel.
template <int N>
__device__ __forceinline__ void backward(const float* __restrict__ x, const int* __restrict__ labels,
                                         const float* __restrict__ centers, const int* __restrict__ hardest,
                                         float scale, float* __restrict__ dx, bool exact, bool accumulate, int m,
                                         int d, int classes) {
    const int i = blockIdx.x, label = labels[i], negative = hardest[i];
    const bool is_class = 0 <= label && label < classes;
    // The weight of x_i - x_j: 1 or 2 for a positive pair (one side or both), -1 for a hinge.
    const auto weight = [&](int j) {
        float times = 0.0f;
        if (j != i && labels[j] == label) times += exact ? 2.0f : 1.0f;
        if (j == negative) times -= 1.0f;
        if (exact && hardest[j] == i) times -= 1.0f;
        return times;
    };
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    // The loop bounds are uniform in a warp, whose lanes find the partners together.
    for (int first = (blockIdx.y * blockDim.x + warp * LANES) * N; first < d; first += gridDim.y * blockDim.x * N) {
        const int k = first + lane * N;
        const bool inside = k < d;
        Pack<float, N> own = {}, total = {};
        if (inside) {
            own = load<N>(x + static_cast<size_t>(i) * d + k);
            Pack<float, N> center;
            for (float& value : center.at) value = NAN;
            if (is_class) center = load<N>(centers + static_cast<size_t>(label) * d + k);
            for (int l = 0; l < N; ++l) total.at[l] = own.at[l] - center.at[l];
        }
        for_each_nonzero(m, weight, [&](int j, float times) {
            if (!inside) return;
            const auto other = load<N>(x + static_cast<size_t>(j) * d + k);
            for (int l = 0; l < N; ++l) total.at[l] += times * (own.at[l] - other.at[l]);
        });
        if (inside) {
            float* to = dx + static_cast<size_t>(i) * d + k;
            Pack<float, N> old = {};
            if (accumulate) old = load<N>(to);
            for (int l = 0; l < N; ++l) total.at[l] = merged(old.at[l], scale * total.at[l], accumulate);
            store<N>(to, total);
        }
    }
}

}

// partial [splits, m, m]: the sums of squared differences of x [m, d] over each part of the features; each part is a
// symmetric matrix with a diagonal of 0. Grid: (T / 2 + 1, T, splits) with T = ceil(m / 16). Block: 256.
extern "C" __global__ void __launch_bounds__(pairs::THREADS)
    batch_contrastive_distances(const float* __restrict__ x, float* __restrict__ partial, int m, int d) {
    pairs::tile<pairs::SquaredDifference>(x, partial, m, d);
}

// rows [m, 7]: the contribution of each image to the terms; hardest [m]: h(i) if the hinge of image i is active, else
// -1. Inputs: partial [splits, m, m], x [m, d], labels [m] and centers [classes, d]. A warp computes an image. A label
// that is no class reads no center and gives NaN. Grid: a warp or more for each image.
extern "C" __global__ void batch_contrastive_rows(const float* __restrict__ partial, const float* __restrict__ x,
                                                  const int* __restrict__ labels, const float* __restrict__ centers,
                                                  float tau, batch_contrastive::Terms* __restrict__ rows,
                                                  int* __restrict__ hardest, int splits, int m, int d, int classes) {
    using namespace batch_contrastive;
    const size_t i = thread_of_grid() / LANES;
    if (i >= m) return;
    const int lane = threadIdx.x % LANES, label = labels[i];
    Partial own = no_image();
    for (int j = lane; j < m; j += LANES) {
        float distance = 0.0f;
#pragma unroll 8
        for (size_t split = 0; split < splits; ++split) distance += partial[(split * m + i) * m + j];
        if (labels[j] != label) {
            own.inter += sqrtf(distance);
            if (distance < own.nearest) {
                own.nearest = distance;
                own.hardest = j;
            }
        } else if (j != i) {
            own.positive += distance;
            own.intra += sqrtf(distance);
            own.positives += 1;
        }
    }
    own.center = NAN;
    if (0 <= label && label < classes) {
        const float *image = x + i * d, *center = centers + static_cast<size_t>(label) * d;
        own.center = d % 4 == 0 ? squared_distance<4>(image, center, d) : squared_distance<1>(image, center, d);
    }
    const Partial row = warp_reduce<Merge>(own);
    if (lane != 0) return;
    const bool active = row.nearest < tau;
    hardest[i] = active ? row.hardest : -1;
    rows[i] = {0.5f * row.positive,
               active ? 0.5f * (tau - row.nearest) : 0.0f,
               0.5f * row.center,
               static_cast<float>(row.positives),
               row.intra,
               row.inter,
               row.nearest};
}

// terms [7] and loss [1] from rows [m, 7], the losses divided by m if `mean` is not 0; a distance is NaN if there is no
// such pair. Grid: one block.
extern "C" __global__ void batch_contrastive_terms(const batch_contrastive::Terms* __restrict__ rows,
                                                   batch_contrastive::Terms* __restrict__ terms,
                                                   float* __restrict__ loss, int mean, int m) {
    using namespace batch_contrastive;
    __shared__ Partial scratch[LANES];
    Partial own = no_image();
    for (int i = threadIdx.x; i < m; i += blockDim.x) {
        const Terms row = rows[i];
        own = Merge()(own, {row.positive, row.hinge, row.center, row.intra, row.inter, row.nearest,
                            static_cast<int>(row.positive_pairs), -1});
    }
    const Partial sum = block_reduce<Merge>(own, no_image(), scratch);
    if (threadIdx.x != 0) return;
    // The rows contain each pair twice. 0 / 0 = NaN stands for "no such pair".
    const int pairs = sum.positives / 2, others = m * (m - 1) / 2 - pairs;
    const float factor = reduction_factor(mean, m);
    const float positive = factor * sum.positive, hinge = factor * sum.hinge, center = factor * sum.center;
    *terms = {positive,
              hinge,
              center,
              static_cast<float>(pairs),
              0.5f * sum.intra / static_cast<float>(pairs),
              0.5f * sum.inter / static_cast<float>(others),
              others > 0 ? sqrtf(sum.nearest) : NAN};
    *loss = positive + hinge + center;
}

// dx [m, d], written or added: dy [1] times the paper's (8), or times the exact derivative if `exact` is not 0, divided
// by m if `mean` is not 0. A label that is no class reads no center and gives NaN. Grid: (m, slices) blocks; a thread
// takes 4 features at a time, or one if d is no multiple of 4, so that ceil(d / (4 block)) or ceil(d / block) slices
// suffice.
extern "C" __global__ void batch_contrastive_backward(const float* __restrict__ x, const int* __restrict__ labels,
                                                      const float* __restrict__ centers,
                                                      const int* __restrict__ hardest, const float* __restrict__ dy,
                                                      float* __restrict__ dx, int exact, int mean, int accumulate,
                                                      int m, int d, int classes) {
    const float scale = *dy * batch_contrastive::reduction_factor(mean, m);
    if (d % 4 == 0) {
        batch_contrastive::backward<4>(x, labels, centers, hardest, scale, dx, exact, accumulate, m, d, classes);
    } else {
        batch_contrastive::backward<1>(x, labels, centers, hardest, scale, dx, exact, accumulate, m, d, classes);
    }
}

SOFTCUDA_KERNELS(batch_contrastive_distances, batch_contrastive_rows, batch_contrastive_terms,
                 batch_contrastive_backward)
