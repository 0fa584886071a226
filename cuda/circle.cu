// Circle loss: the kernels of src/ops/circle.rs (Sun et al. 2020).
//
// Forward: `pairs_products` (similarities of all pairs, in parts), the log-sum-exp of the positives and of the
// negatives of each anchor, and the loss. If a gradient is needed, a fourth launch turns the similarities into the
// weights of `pairs_backward`, in place.
//
// A warp computes an anchor: it writes its row of similarities while it looks for the two largest logits, and reads it
// again for the sums. Bytes: rows 4 splits m^2 + 4 m^2, and 8 m^2 that the L1 cache serves; weights 8 m^2.
#include "pairs.cuh"

namespace circle {

// The logit of a pair and its derivative by the similarity, in which the paper holds the weight alpha constant.
struct Logit {
    float value, slope;
};

__device__ __forceinline__ Logit positive(float similarity, float margin, float gamma) {
    const float slope = -gamma * fmaxf((1.0f + margin) - similarity, 0.0f);
    return {slope * (similarity - (1.0f - margin)), slope};
}
__device__ __forceinline__ Logit negative(float similarity, float margin, float gamma) {
    const float slope = gamma * fmaxf(similarity + margin, 0.0f);
    return {slope * (similarity - margin), slope};
}

// The log-sum-exp of some logits in two parts: the largest one, and log sum exp(logit - largest), or the sum itself.
// Without a logit the largest one is -infinity and the sum 0.
struct Sums {
    float positive_max, positive_sum, negative_max, negative_sum;
};

// One anchor, in the order of the columns of `rows`.
struct Row {
    Sums sums;
    float positive, negative, positives, negatives;  // sums of similarities, and numbers of pairs
};

__device__ __forceinline__ bool has_both(const Sums& sums) {
    return sums.positive_sum != 0.0f && sums.negative_sum != 0.0f;  // also if one is NaN
}

// log(1 + exp(z)), without overflow.
__device__ __forceinline__ float softplus(float z) { return fmaxf(z, 0.0f) + log1pf(expf(-fabsf(z))); }

// A part of a sum over anchors that is moved from one maximum to a larger one; an empty part has the maximum -infinity.
__device__ __forceinline__ float moved(float sum, float from, float to) {
    return sum == 0.0f ? 0.0f : sum * expf(from - to);
}

}

// similarities [m, m], with a diagonal of 0, and rows [m, 8] (`Row`) from partial [splits, m, m] and labels [m]. A warp
// computes an anchor. Grid: a warp or more for each image.
extern "C" __global__ void circle_rows(const float* __restrict__ partial, const int* __restrict__ labels, float margin,
                                       float gamma, float* __restrict__ similarities, float* __restrict__ rows,
                                       int splits, int m) {
    using namespace circle;
    const size_t i = thread_of_grid() / LANES;
    if (i >= m) return;
    const int lane = threadIdx.x % LANES, label = labels[i];
    float* own = similarities + i * m;
    float positive_max = -INFINITY, negative_max = -INFINITY;
    float positive_similarity = 0.0f, negative_similarity = 0.0f;
    int positives = 0, negatives = 0;
    for (int j = lane; j < m; j += LANES) {
        const float similarity = j == i ? 0.0f : pairs::total(partial, splits, m, i, j);
        own[j] = similarity;
        if (labels[j] != label) {
            negatives += 1;
            negative_similarity += similarity;
            negative_max = fmaxf(negative_max, negative(similarity, margin, gamma).value);
        } else if (j != i) {
            positives += 1;
            positive_similarity += similarity;
            positive_max = fmaxf(positive_max, positive(similarity, margin, gamma).value);
        }
    }
    positive_max = warp_reduce<Max>(positive_max);
    negative_max = warp_reduce<Max>(negative_max);
    float positive_sum = 0.0f, negative_sum = 0.0f;
    for (int j = lane; j < m; j += LANES) {
        const float similarity = own[j];
        if (labels[j] != label) {
            negative_sum += expf(negative(similarity, margin, gamma).value - negative_max);
        } else if (j != i) {
            positive_sum += expf(positive(similarity, margin, gamma).value - positive_max);
        }
    }
    positive_sum = warp_reduce<Sum>(positive_sum);
    negative_sum = warp_reduce<Sum>(negative_sum);
    positive_similarity = warp_reduce<Sum>(positive_similarity);
    negative_similarity = warp_reduce<Sum>(negative_similarity);
    positives = warp_reduce<Sum>(positives);
    negatives = warp_reduce<Sum>(negatives);
    if (lane != 0) return;
    float* row = rows + i * 8;
    row[0] = positive_max;
    row[1] = positive_sum;
    row[2] = negative_max;
    row[3] = negative_sum;
    row[4] = positive_similarity;
    row[5] = negative_similarity;
    row[6] = static_cast<float>(positives);
    row[7] = static_cast<float>(negatives);
}

// From rows [m, 8]: terms [3], the number of anchors and the mean similarities of the positive and of the negative
// pairs (NaN without such a pair); loss [1], scales [2], both the factor of the weights; softmax [m, 5], for each
// anchor the log-sum-exp of its positives and negatives in two parts each, and the derivative of its loss by their sum,
// 0 if it has no loss. With `whole_batch` the pairs of all anchors are one set. Grid: one block.
extern "C" __global__ void circle_terms(const float* __restrict__ rows, int whole_batch, float* __restrict__ terms,
                                        float* __restrict__ loss, float* __restrict__ scales,
                                        float* __restrict__ softmax, int m) {
    using namespace circle;
    __shared__ float scratch[LANES];
    __shared__ int counts[LANES];
    Row sum = {{-INFINITY, 0.0f, -INFINITY, 0.0f}, 0.0f, 0.0f, 0.0f, 0.0f};
    int anchors = 0, positives = 0, negatives = 0;
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
        const float* row = rows + i * 8;
        sum.sums.positive_max = fmaxf(sum.sums.positive_max, row[0]);
        sum.sums.negative_max = fmaxf(sum.sums.negative_max, row[2]);
        sum.positive += row[4];
        sum.negative += row[5];
        positives += static_cast<int>(row[6]);
        negatives += static_cast<int>(row[7]);
        anchors += has_both({row[0], row[1], row[2], row[3]});
    }
    Sums all = {block_reduce<Max>(sum.sums.positive_max, -INFINITY, scratch), 0.0f,
                block_reduce<Max>(sum.sums.negative_max, -INFINITY, scratch), 0.0f};
    const float positive_similarity = block_reduce<Sum>(sum.positive, 0.0f, scratch);
    const float negative_similarity = block_reduce<Sum>(sum.negative, 0.0f, scratch);
    positives = block_reduce<Sum>(positives, 0, counts);
    negatives = block_reduce<Sum>(negatives, 0, counts);
    anchors = block_reduce<Sum>(anchors, 0, counts);

    float total = 0.0f, slope = 0.0f;
    if (whole_batch) {
        for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
            const float* row = rows + i * 8;
            all.positive_sum += moved(row[1], row[0], all.positive_max);
            all.negative_sum += moved(row[3], row[2], all.negative_max);
        }
        all.positive_sum = block_reduce<Sum>(all.positive_sum, 0.0f, scratch);
        all.negative_sum = block_reduce<Sum>(all.negative_sum, 0.0f, scratch);
        const bool both = has_both(all);
        all.positive_sum = logf(all.positive_sum);
        all.negative_sum = logf(all.negative_sum);
        if (both) {
            // Each pair is in the sums of both of its anchors, but once in the loss: log 2 less for each of the two.
            const float twice = 1.3862943611f;
            const float z = (all.positive_max + all.negative_max) + (all.positive_sum + all.negative_sum) - twice;
            total = softplus(z);
            slope = 1.0f / (1.0f + expf(-z));
        }
    }
    float own_loss = 0.0f;
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
        const float* row = rows + i * 8;
        Sums own = {row[0], row[1], row[2], row[3]};
        float own_slope = slope;
        if (whole_batch) {
            own = all;
        } else {
            const bool both = has_both(own);
            own.positive_sum = logf(own.positive_sum);
            own.negative_sum = logf(own.negative_sum);
            const float z = (own.positive_max + own.negative_max) + (own.positive_sum + own.negative_sum);
            own_slope = both ? 1.0f / (1.0f + expf(-z)) : 0.0f;
            if (both) own_loss += softplus(z);
        }
        float* to = softmax + i * 5;
        to[0] = own.positive_max;
        to[1] = own.positive_sum;
        to[2] = own.negative_max;
        to[3] = own.negative_sum;
        to[4] = own_slope;
    }
    const float sum_of_losses = block_reduce<Sum>(own_loss, 0.0f, scratch);
    if (threadIdx.x != 0) return;
    terms[0] = static_cast<float>(anchors);
    terms[1] = positive_similarity / static_cast<float>(positives);
    terms[2] = negative_similarity / static_cast<float>(negatives);
    const float divisor = static_cast<float>(whole_batch ? m : max(anchors, 1));
    *loss = (whole_batch ? total : sum_of_losses) / divisor;
    scales[0] = scales[1] = 1.0f / divisor;
}

// Overwrites similarities [m, m] with weights [m, m]: the derivative of the sum of the losses by the similarity, as
// seen from anchor i, with constant alpha. Inputs: labels [m], softmax [m, 5]. Grid: ceil(m^2 / block) blocks.
extern "C" __global__ void circle_weights(float* __restrict__ similarities, const int* __restrict__ labels,
                                          const float* __restrict__ softmax, float margin, float gamma, int m) {
    using namespace circle;
    const size_t at = thread_of_grid(), i = at / m, j = at % m;
    if (i >= m) return;
    const float* own = softmax + i * 5;
    float weight = 0.0f;
    if (i != j && own[4] != 0.0f) {
        const bool same = labels[i] == labels[j];
        const float similarity = similarities[at];
        const Logit logit = same ? positive(similarity, margin, gamma) : negative(similarity, margin, gamma);
        const float max = same ? own[0] : own[2], log_sum = same ? own[1] : own[3];
        weight = own[4] * expf((logit.value - max) - log_sum) * logit.slope;
    }
    similarities[at] = weight;
}

SOFTCUDA_KERNELS(circle_rows, circle_terms, circle_weights)
