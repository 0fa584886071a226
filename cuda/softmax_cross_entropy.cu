// Softmax cross entropy: the kernels of src/ops/softmax_cross_entropy.rs, equations (1) and (2) of the paper.
//
// One block per row. The forward pass reads the logits once: each thread keeps the largest logit so far and the sum of
// exponentials relative to it, and rescales the sum when the largest logit changes. The backward pass needs this pair,
// 8 bytes per row, and reads the logits again; the probabilities are not saved.
//
// Bytes: forward 4 m n + 16 m; backward 8 m n + 16 m. cuda/lab/softmax_cross_entropy.cu derives this kernel from
// a naive one.
#include "common.cuh"

namespace softmax_cross_entropy {

// The partition function of some logits: max, the largest z_k, and sum_k exp(z_k - max).
struct Partition {
    float max, sum;
};

__device__ __forceinline__ Partition shuffle_xor(Partition p, int lanes) {
    return {::shuffle_xor(p.max, lanes), ::shuffle_xor(p.sum, lanes)};
}

struct Merge {
    __device__ __forceinline__ Partition operator()(Partition a, Partition b) const {
        const float max = fmaxf(a.max, b.max);
        // The test for equality avoids (-inf) - (-inf) = NaN in a merge with an empty partition.
        const float sum_a = a.max == max ? a.sum : a.sum * expf(a.max - max);
        const float sum_b = b.max == max ? b.sum : b.sum * expf(b.max - max);
        return {max, sum_a + sum_b};
    }
};

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

// dlogits [m, n] = (softmax(logits) - onehot(labels)) dy / m. `dlogits` may be `logits`.
__device__ __forceinline__ void backward(const float* logits, const int* labels, const float2* partition,
                                         const float* dy, float* dlogits, int n) {
    const size_t start = static_cast<size_t>(blockIdx.x) * n;
    const float2 saved = partition[blockIdx.x];
    const int label = labels[blockIdx.x];
    const float scale = *dy / static_cast<float>(gridDim.x);
    for_each_of_row(logits + start, n, [&](int i, auto width) {
        constexpr int N = decltype(width)::value;
        auto pack = load<N>(logits + start + i);
        for (int k = 0; k < N; ++k) {
            const float probability = expf((pack.at[k] - saved.x) - saved.y);
            pack.at[k] = (probability - (i + k == label ? 1.0f : 0.0f)) * scale;
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
    softmax_cross_entropy::backward(logits, labels, partition, dy, dlogits, n);
}

SOFTCUDA_KERNELS(softmax_cross_entropy_forward_f32, softmax_cross_entropy_mean, softmax_cross_entropy_backward_f32)
