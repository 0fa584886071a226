// Triplet loss, batch-hard (Hermans et al. 2017) or weighted (Ye et al. 2021): the kernels of src/ops/triplet.rs.
//
// Three launches in the forward pass: `batch_contrastive_distances` (squared distances of all pairs, in parts), the
// positives and negatives of each anchor, and the mean. The weights of the pairs, which the forward pass writes
// if a gradient is needed, are all that `pairs_backward` needs beside the features.
//
// A warp computes an anchor. Bytes: 4 splits m^2 + 4 m^2 for the labels, which the L1 cache serves, and 4 m^2 for the
// weights. Weighted mining reads distances and labels three times: for the hardest distance, which is subtracted from all
// exponents, for the means, and for the weights.
#include "pairs.cuh"

namespace triplet {

// Added to the squared distance under the root.
constexpr float EPSILON = 1e-12f;
// An anchor is active if its loss is above this.
constexpr float ACTIVE = 1e-5f;

// The farthest positive and the nearest negative so far, as squared distances; index -1 if there is none.
struct Hardest {
    float positive, negative;
    int farthest, nearest;
    int positives, negatives;
    float poison;  // 0, or NaN if a distance is NaN or infinite
};

__device__ __forceinline__ Hardest no_image() { return {-INFINITY, INFINITY, -1, -1, 0, 0, 0.0f}; }

__device__ __forceinline__ Hardest shuffle_xor(Hardest h, int lanes) {
    using ::shuffle_xor;
    return {shuffle_xor(h.positive, lanes),  shuffle_xor(h.negative, lanes),  shuffle_xor(h.farthest, lanes),
            shuffle_xor(h.nearest, lanes),   shuffle_xor(h.positives, lanes), shuffle_xor(h.negatives, lanes),
            shuffle_xor(h.poison, lanes)};
}

// The lower index wins a tie. (Two equal infinities are two lanes without an image, both with index -1.)
struct Merge {
    __device__ __forceinline__ Hardest operator()(Hardest a, Hardest b) const {
        const bool farther = b.positive > a.positive || (b.positive == a.positive && b.farthest < a.farthest);
        const bool nearer = b.negative < a.negative || (b.negative == a.negative && b.nearest < a.nearest);
        return {farther ? b.positive : a.positive,
                nearer ? b.negative : a.negative,
                farther ? b.farthest : a.farthest,
                nearer ? b.nearest : a.nearest,
                a.positives + b.positives,
                a.negatives + b.negatives,
                a.poison + b.poison};
    }
};

// log(1 + exp(gap)), without overflow.
__device__ __forceinline__ float softplus(float gap) { return fmaxf(gap, 0.0f) + log1pf(expf(-fabsf(gap))); }

// The hardest images around anchor i, computed by the lanes of a warp.
__device__ __forceinline__ Hardest hardest_of(const float* __restrict__ partial, const int* __restrict__ labels,
                                              size_t i, int lane, int splits, int m) {
    Hardest own = no_image();
    for (int j = lane; j < m; j += LANES) {
        if (j == i) continue;
        const float distance = pairs::total(partial, splits, m, i, j);
        own.poison += 0.0f * distance;
        if (labels[j] != labels[i]) {
            own.negatives += 1;
            if (distance < own.negative) {
                own.negative = distance;
                own.nearest = j;
            }
        } else {
            own.positives += 1;
            if (distance > own.positive) {
                own.positive = distance;
                own.farthest = j;
            }
        }
    }
    return warp_reduce<Merge>(own);
}

__device__ __forceinline__ float distance_of(float squared_distance, bool squared) {
    return squared ? squared_distance : sqrtf(squared_distance + EPSILON);
}

// Sums over the positives and the negatives of an anchor: of exponentials, and of these times what a distance has
// beyond the hardest one.
struct Masses {
    float positive, negative, beyond_positive, beyond_negative;
};

__device__ __forceinline__ Masses shuffle_xor(Masses a, int lanes) {
    using ::shuffle_xor;
    return {shuffle_xor(a.positive, lanes), shuffle_xor(a.negative, lanes), shuffle_xor(a.beyond_positive, lanes),
            shuffle_xor(a.beyond_negative, lanes)};
}

struct AddMasses {
    __device__ __forceinline__ Masses operator()(Masses a, Masses b) const {
        return {a.positive + b.positive, a.negative + b.negative, a.beyond_positive + b.beyond_positive,
                a.beyond_negative + b.beyond_negative};
    }
};

// The loss of an anchor and its derivative by d_ap - d_an.
struct Cost {
    float loss, slope;
};

__device__ __forceinline__ Cost cost(float gap, float margin, bool soft) {
    if (soft) return {softplus(gap), 1.0f / (1.0f + expf(-gap))};
    const float excess = gap + margin;
    // Not max(0, NaN) = 0.
    return excess <= 0.0f ? Cost{0.0f, 0.0f} : Cost{excess, 1.0f};
}

__device__ __forceinline__ void store_row(float* __restrict__ row, bool is_anchor, float loss, float positive,
                                          float negative, float poison) {
    row[0] = is_anchor ? 1.0f : 0.0f;
    row[1] = is_anchor ? loss + poison : 0.0f;
    row[2] = is_anchor ? positive + poison : 0.0f;
    row[3] = is_anchor ? negative + poison : 0.0f;
}

// One anchor, or the sums over some.
struct Anchors {
    float loss, positive, negative;
    int anchors, active;
};

__device__ __forceinline__ Anchors shuffle_xor(Anchors a, int lanes) {
    using ::shuffle_xor;
    return {shuffle_xor(a.loss, lanes), shuffle_xor(a.positive, lanes), shuffle_xor(a.negative, lanes),
            shuffle_xor(a.anchors, lanes), shuffle_xor(a.active, lanes)};
}

struct Add {
    __device__ __forceinline__ Anchors operator()(Anchors a, Anchors b) const {
        return {a.loss + b.loss, a.positive + b.positive, a.negative + b.negative, a.anchors + b.anchors,
                a.active + b.active};
    }
};

}

// rows [m, 4]: whether the image is an anchor (1 or 0), its loss, the distances to its hardest positive and negative.
// weights [m, m], unless null: the weights of the differences x_i - x_j in the gradient of the sum of the losses, for
// `pairs_backward`. Inputs: partial [splits, m, m] and labels [m]. Distances are squared if `squared` is not 0; the
// margin is soft if `soft` is not 0. A warp computes an anchor. Grid: a warp or more for each image.
extern "C" __global__ void triplet_rows(const float* __restrict__ partial, const int* __restrict__ labels, float margin,
                                        int soft, int squared, float* __restrict__ rows,
                                        float* __restrict__ NULLABLE weights, int splits, int m) {
    using namespace triplet;
    const size_t i = thread_of_grid() / LANES;
    if (i >= m) return;
    const int lane = threadIdx.x % LANES;
    const Hardest hardest = hardest_of(partial, labels, i, lane, splits, m);
    const bool is_anchor = hardest.positives > 0 && hardest.negatives > 0;
    const float positive = distance_of(hardest.positive, squared), negative = distance_of(hardest.negative, squared);
    const Cost loss = cost(positive - negative, margin, soft);
    if (lane == 0) store_row(rows + i * 4, is_anchor, loss.loss, positive, negative, hardest.poison);
    if (weights == nullptr) return;
    // x_i - x_j times this is the derivative of the squared distance, or of its root.
    const float pull = squared ? 2.0f * loss.slope : loss.slope / positive;
    const float push = squared ? -2.0f * loss.slope : -loss.slope / negative;
    for (int j = lane; j < m; j += LANES) {
        float weight = 0.0f;
        if (is_anchor && j == hardest.farthest) weight = pull;
        if (is_anchor && j == hardest.nearest) weight = push;
        weights[i * m + j] = weight;
    }
}

// As `triplet_rows`, with the weighted means over all positives and all negatives of an anchor in the place of the
// distances to the hardest ones.
extern "C" __global__ void triplet_weighted_rows(const float* __restrict__ partial, const int* __restrict__ labels,
                                                 float margin, int soft, int squared, float* __restrict__ rows,
                                                 float* __restrict__ NULLABLE weights, int splits, int m) {
    using namespace triplet;
    const size_t i = thread_of_grid() / LANES;
    if (i >= m) return;
    const int lane = threadIdx.x % LANES, label = labels[i];
    const Hardest hardest = hardest_of(partial, labels, i, lane, splits, m);
    const bool is_anchor = hardest.positives > 0 && hardest.negatives > 0;
    const float farthest = distance_of(hardest.positive, squared), nearest = distance_of(hardest.negative, squared);
    Masses own = {};
    for (int j = lane; j < m; j += LANES) {
        if (j == i) continue;
        const float distance = distance_of(pairs::total(partial, splits, m, i, j), squared);
        if (labels[j] == label) {
            const float mass = expf(distance - farthest);
            own.positive += mass;
            own.beyond_positive += mass * (distance - farthest);
        } else {
            const float mass = expf(nearest - distance);
            own.negative += mass;
            own.beyond_negative += mass * (distance - nearest);
        }
    }
    const Masses sums = warp_reduce<AddMasses>(own);
    const float positive = farthest + sums.beyond_positive / sums.positive;
    const float negative = nearest + sums.beyond_negative / sums.negative;
    const Cost loss = cost(positive - negative, margin, soft);
    if (lane == 0) store_row(rows + i * 4, is_anchor, loss.loss, positive, negative, hardest.poison);
    if (weights == nullptr) return;
    for (int j = lane; j < m; j += LANES) {
        float weight = 0.0f;
        if (is_anchor && j != i) {
            const float distance = distance_of(pairs::total(partial, splits, m, i, j), squared);
            const bool same = labels[j] == label;
            const float mean = same ? expf(distance - farthest) / sums.positive * (1.0f + distance - positive)
                                    : -expf(nearest - distance) / sums.negative * (1.0f + negative - distance);
            const float slope = loss.slope * mean;
            weight = squared ? 2.0f * slope : slope / distance;
        }
        weights[i * m + j] = weight;
    }
}

// From rows [m, 4]: terms [4], the number of anchors, the share of active ones and the mean distances, NaN without an
// anchor; loss [1], the mean over the anchors, 0 without one; scales [2], both 1 / anchors. Grid: one block.
extern "C" __global__ void triplet_terms(const float* __restrict__ rows, float* __restrict__ terms,
                                         float* __restrict__ loss, float* __restrict__ scales, int m) {
    using namespace triplet;
    __shared__ Anchors scratch[LANES];
    Anchors own = {};
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
        const float* row = rows + i * 4;
        const bool is_anchor = row[0] != 0.0f;
        own = Add()(own, {row[1], row[2], row[3], is_anchor, is_anchor && row[1] > ACTIVE});
    }
    const Anchors sum = block_reduce<Add>(own, Anchors{}, scratch);
    if (threadIdx.x != 0) return;
    const float anchors = static_cast<float>(sum.anchors);
    terms[0] = anchors;
    terms[1] = static_cast<float>(sum.active) / anchors;
    terms[2] = sum.positive / anchors;
    terms[3] = sum.negative / anchors;
    *loss = sum.anchors > 0 ? sum.loss / anchors : 0.0f;
    scales[0] = scales[1] = sum.anchors > 0 ? 1.0f / anchors : 0.0f;
}

SOFTCUDA_KERNELS(triplet_rows, triplet_weighted_rows, triplet_terms)
