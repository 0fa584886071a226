// Contrastive loss of pairs: the kernels of src/ops/contrastive.rs (Hadsell et al. 2006).
//
// Forward: `batch_contrastive_distances` (squared distances of all pairs, in parts), the sums of each image, and the
// means. The weights of the pairs are those of `pairs_backward`: positive for a pair of one identity, negative for
// another, so that each kind has its own divisor.
//
// A warp computes an image. Bytes: 4 splits m^2 + 4 m^2 for the labels, which the L1 cache serves, and 4 m^2 for the
// weights.
#include "pairs.cuh"

// rows [m, 4]: the sums of the losses of the pairs of each image with the same identity and with others, and how many
// of them are not 0. weights [m, m], unless null: the derivative of the sum of the losses by the distance over the
// distance, 0 at distance 0. Inputs: partial [splits, m, m], labels [m]. A warp computes an image. Grid: a warp or more
// for each image.
extern "C" __global__ void contrastive_rows(const float* __restrict__ partial, const int* __restrict__ labels,
                                            float positive_margin, float negative_margin, float* __restrict__ rows,
                                            float* __restrict__ NULLABLE weights, int splits, int m) {
    const size_t i = thread_of_grid() / LANES;
    if (i >= m) return;
    const int lane = threadIdx.x % LANES, label = labels[i];
    float positive = 0.0f, negative = 0.0f;
    int positives = 0, negatives = 0;
    for (int j = lane; j < m; j += LANES) {
        float weight = 0.0f;
        if (j != i) {
            const float distance = sqrtf(pairs::total(partial, splits, m, i, j));
            const bool same = labels[j] == label;
            const float loss = same ? distance - positive_margin : negative_margin - distance;
            // 0, or NaN if the distance is NaN or infinite, which a comparison may hide.
            const float poison = 0.0f * distance;
            if (loss > 0.0f) {
                if (distance > 0.0f) weight = (same ? 1.0f : -1.0f) / distance;
                (same ? positives : negatives) += 1;
            }
            (same ? positive : negative) += fmaxf(loss, 0.0f) + poison;
        }
        if (weights != nullptr) weights[i * m + j] = weight;
    }
    positive = warp_reduce<Sum>(positive);
    negative = warp_reduce<Sum>(negative);
    positives = warp_reduce<Sum>(positives);
    negatives = warp_reduce<Sum>(negatives);
    if (lane != 0) return;
    float* row = rows + i * 4;
    row[0] = positive;
    row[1] = negative;
    row[2] = static_cast<float>(positives);
    row[3] = static_cast<float>(negatives);
}

// From rows [m, 4], in which each pair is twice: terms [4], the mean losses of the pairs that are not 0, of one
// identity and of two, and the numbers of these pairs; loss [1], the sum of both means; scales [2], the divisors'
// inverses, 0 without a pair. Grid: one block.
extern "C" __global__ void contrastive_terms(const float* __restrict__ rows, float* __restrict__ terms,
                                             float* __restrict__ loss, float* __restrict__ scales, int m) {
    __shared__ float scratch[LANES];
    __shared__ int counts[LANES];
    float positive = 0.0f, negative = 0.0f;
    int positives = 0, negatives = 0;
    for (size_t i = threadIdx.x; i < m; i += blockDim.x) {
        const float* row = rows + i * 4;
        positive += row[0];
        negative += row[1];
        positives += static_cast<int>(row[2]);
        negatives += static_cast<int>(row[3]);
    }
    positive = block_reduce<Sum>(positive, 0.0f, scratch);
    negative = block_reduce<Sum>(negative, 0.0f, scratch);
    positives = block_reduce<Sum>(positives, 0, counts);
    negatives = block_reduce<Sum>(negatives, 0, counts);
    if (threadIdx.x != 0) return;
    // Without a pair the sum is 0, or NaN.
    positive /= static_cast<float>(max(positives, 1));
    negative /= static_cast<float>(max(negatives, 1));
    terms[0] = positive;
    terms[1] = negative;
    terms[2] = static_cast<float>(positives / 2);
    terms[3] = static_cast<float>(negatives / 2);
    *loss = positive + negative;
    scales[0] = positives > 0 ? 1.0f / static_cast<float>(positives) : 0.0f;
    scales[1] = negatives > 0 ? 1.0f / static_cast<float>(negatives) : 0.0f;
}

SOFTCUDA_KERNELS(contrastive_rows, contrastive_terms)
