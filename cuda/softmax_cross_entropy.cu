// Softmax cross entropy: the kernels of src/ops/softmax_cross_entropy.rs, equations (1) and (2) of the paper.
//
// One block per row. The forward pass reads the logits once: each thread keeps the largest logit so far and the sum of
// exponentials relative to it, and rescales the sum when the largest logit changes. The backward pass needs this pair,
// 8 bytes per row, and reads the logits again; the probabilities are not saved.
//
// Label smoothing has kernels of its own: the sum of a row's logarithms takes a second pass over the row, which the L1
// cache serves. A row without smoothing skips it and has the bits of the plain kernel.
//
// Bytes: forward 4 m n + 16 m; backward 8 m n + 16 m; with smoothing 4 m more each. cuda/lab/softmax_cross_entropy.cu
// derives this kernel from a naive one.
#include "common.cuh"

namespace softmax_cross_entropy {

// The partition function of some logits: max, the largest z_k, and sum_k exp(z_k - max).
struct Partition {
    float max, sum;
};

__device__ __forceinline__ Partition shuffle_xor(Partition p, int lanes) {
    return {::shuffle_xor(p.max, lanes), ::shuffle_xor(p.sum, lanes)};
}

// ANCHOR: merge
struct Merge {
    __device__ __forceinline__ Partition operator()(Partition a, Partition b) const {
        const float max = fmaxf(a.max, b.max);
        // The test for equality avoids (-inf) - (-inf) = NaN in a merge with an empty partition.
        const float sum_a = a.max == max ? a.sum : a.sum * expf(a.max - max);
        const float sum_b = b.max == max ? b.sum : b.sum * expf(b.max - max);
        return {max, sum_a + sum_b};
    }
};
// ANCHOR_END: merge

// losses [m], partition [m] of logits [m, n] and labels [m]. A label that is no class gives NaN and reads nothing.
__device__ __forceinline__ void forward(const float* logits, const int* labels, float* losses, float2* partition,
                                        int n) {
    __shared__ Partition scratch[LANES];
    const float* row = logits + static_cast<size_t>(blockIdx.x) * n;
    const Partition empty = {-INFINITY, 0.0f};
    Partition own = empty;
    for_each_of_row(row, n, [&](int i, auto width) {
        const auto pack = load<decltype(width)::value>(row + i);
        for (const float z : pack.at) {
            if (z > own.max) {
                own = {z, own.sum * expf(own.max - z) + 1.0f};
            } else {
                own.sum += z == own.max ? 1.0f : expf(z - own.max);  // the test is for z = max = -inf
            }
        }
    });
    const Partition total = block_reduce<Merge>(own, empty, scratch);
    if (threadIdx.x == 0) {
        const int label = labels[blockIdx.x];
        // Not max + log(sum), where a large maximum would absorb the digits of the logarithm.
        const float log_sum = logf(total.sum);
        const bool is_class = 0 <= label && label < n;
        losses[blockIdx.x] = is_class ? log_sum - (row[label] - total.max) : NAN;
        partition[blockIdx.x] = make_float2(total.max, log_sum);
    }
}

// The smoothing of this block's row: `each` [m] if it is not null, else `all`; NaN if it is not in [0, 1].
__device__ __forceinline__ float smoothing_of_row(float all, const float* each) {
    const float smoothing = each == nullptr ? all : each[blockIdx.x];
    return 0.0f <= smoothing && smoothing <= 1.0f ? smoothing : NAN;
}

// Replaces the loss of this block's row by (1 - smoothing) times itself + smoothing times the mean of -log softmax over
// the classes. The thread that wrote losses and partition, thread 0, reads them.
__device__ __forceinline__ void smooth(const float* logits, float smoothing, float* losses, const float2* partition,
                                       int n) {
    __shared__ float scratch[LANES];
    __shared__ float2 saved;
    if (threadIdx.x == 0) saved = partition[blockIdx.x];
    __syncthreads();
    const float* from = logits + static_cast<size_t>(blockIdx.x) * n;
    const float max = saved.x;
    float own = 0.0f;
    for_each_of_row(from, n, [&](int i, auto width) {
        const auto pack = load<decltype(width)::value>(from + i);
        for (const float z : pack.at) own += z - max;
    });
    const float sum = block_reduce<Sum>(own, 0.0f, scratch);
    if (threadIdx.x != 0) return;
    const float uniform = saved.y - sum / static_cast<float>(n);
    // A label without weight must not count, even if its loss is infinite.
    const float loss = losses[blockIdx.x];
    const float at_label = smoothing == 1.0f && !isnan(loss) ? 0.0f : (1.0f - smoothing) * loss;
    losses[blockIdx.x] = at_label + smoothing * uniform;
}

// dlogits [m, n] = (softmax(logits) - target(column)) dy / m. `dlogits` may be `logits`.
template <class Target>
__device__ __forceinline__ void backward(const float* logits, const float2* partition, const float* dy, float* dlogits,
                                         int n, Target target) {
    const size_t start = static_cast<size_t>(blockIdx.x) * n;
    const float2 saved = partition[blockIdx.x];
    const float scale = *dy / static_cast<float>(gridDim.x);
    for_each_of_row(logits + start, n, [&](int i, auto width) {
        constexpr int N = decltype(width)::value;
        auto pack = load<N>(logits + start + i);
        for (int k = 0; k < N; ++k) {
            const float probability = expf((pack.at[k] - saved.x) - saved.y);
            pack.at[k] = (probability - target(i + k)) * scale;
        }
        store<N>(dlogits + start + i, pack);
    });
}

}

// losses [m], partition [m] of logits [m, n] and labels [m]. Grid: m blocks.
extern "C" __global__ void softmax_cross_entropy_forward_f32(const float* logits, const int* labels, float* losses,
                                                             float2* partition, int n) {
    softmax_cross_entropy::forward(logits, labels, losses, partition, n);
}

// loss [1]: the mean of losses [m]. Grid: one block.
extern "C" __global__ void softmax_cross_entropy_mean(const float* losses, float* loss, int m) {
    __shared__ float scratch[LANES];
    float own = 0.0f;
    for (int i = threadIdx.x; i < m; i += blockDim.x) own += losses[i];
    const float sum = block_reduce<Sum>(own, 0.0f, scratch);
    if (threadIdx.x == 0) *loss = sum / static_cast<float>(m);
}

// dlogits [m, n] = (softmax(logits) - onehot(labels)) dy / m. Grid: m blocks.
extern "C" __global__ void softmax_cross_entropy_backward_f32(const float* logits, const int* labels,
                                                              const float2* partition, const float* dy, float* dlogits,
                                                              int n) {
    const int label = labels[blockIdx.x];
    softmax_cross_entropy::backward(logits, partition, dy, dlogits, n,
                                    [=](int column) { return column == label ? 1.0f : 0.0f; });
}

// The forward pass with label smoothing: `smoothings` [m] if it is not null, else `smoothing` for every row. A
// smoothing that is not in [0, 1] gives NaN. Grid: m blocks.
extern "C" __global__ void softmax_cross_entropy_smoothed_forward_f32(const float* logits, const int* labels,
                                                                      float smoothing,
                                                                      const float* NULLABLE smoothings, float* losses,
                                                                      float2* partition, int n) {
    using namespace softmax_cross_entropy;
    forward(logits, labels, losses, partition, n);
    const float own = smoothing_of_row(smoothing, smoothings);
    if (own != 0.0f) smooth(logits, own, losses, partition, n);
}

// The backward pass with label smoothing: the target is (1 - smoothing) onehot(labels) + smoothing / n, which without
// smoothing is onehot(labels) to the bit. Grid: m blocks.
extern "C" __global__ void softmax_cross_entropy_smoothed_backward_f32(const float* logits, const int* labels,
                                                                       float smoothing,
                                                                       const float* NULLABLE smoothings,
                                                                       const float2* partition, const float* dy,
                                                                       float* dlogits, int n) {
    using namespace softmax_cross_entropy;
    const int label = labels[blockIdx.x];
    const float own = smoothing_of_row(smoothing, smoothings), uniform = own / static_cast<float>(n);
    backward(logits, partition, dy, dlogits, n,
             [=](int column) { return (column == label ? 1.0f - own : 0.0f) + uniform; });
}

SOFTCUDA_KERNELS(softmax_cross_entropy_forward_f32, softmax_cross_entropy_mean, softmax_cross_entropy_backward_f32,
                 softmax_cross_entropy_smoothed_forward_f32, softmax_cross_entropy_smoothed_backward_f32)
