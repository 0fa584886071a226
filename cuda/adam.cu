// Adam, AMSGrad and AdamW over flat arrays: the kernels of src/ops/adam.rs. segment.cuh describes the arrays.
//
// Bytes per element, with b bytes a gradient: 24 + b (weight 8, mean 8, square 8), b more with the copy, 8 more with
// the largest squares. nvcc fuses multiplications with following additions, so the last bits differ from the CPU's.
#include "segment.cuh"

namespace adam {

// The constants of one launch. `rest` is 1 - beta and `log` the natural logarithm of beta, both computed in f64: in f32
// 1 - 0.999f is off by 1e-5 of itself.
struct Decay {
    float beta, rest, log;

    // 1 - beta^t without the cancellation of a small difference.
    __device__ __forceinline__ float correction(float t) const { return -expm1f(t * log); }
};

template <class G>
__device__ __forceinline__ void step(const Segment* __restrict__ segments, float* __restrict__ weights,
                                     const G* __restrict__ gradients, float* __restrict__ means,
                                     float* __restrict__ squares, float* __restrict__ largest, G* __restrict__ copy,
                                     const float* __restrict__ rate, const int* __restrict__ number, Decay first,
                                     Decay second, float epsilon, bool decoupled) {
    const Segment segment = segments[blockIdx.x];
    const float t = static_cast<float>(*number - segment.first_step) + 1.0f;
    const float own_rate = *rate * segment.lr_mult;
    const float step_size = own_rate / first.correction(t);
    const float root = sqrtf(second.correction(t));
    const float shrink = decoupled ? 1.0f - own_rate * segment.decay : 1.0f;
    const float penalty = decoupled ? 0.0f : segment.decay;
    for_each_of_segment(segment, weights, [&](size_t at, size_t wide_at, auto width) {
        constexpr int N = decltype(width)::value;
        auto w = load<N>(weights + at), m = load<N>(means + at), v = load<N>(squares + at), top = v;
        if (largest != nullptr) top = load<N>(largest + at);
        const auto g = load_floats<N>(gradients + wide_at);
        for (int k = 0; k < N; ++k) {
            const float own = g.at[k] + penalty * w.at[k];
            m.at[k] = first.beta * m.at[k] + first.rest * own;
            v.at[k] = second.beta * v.at[k] + second.rest * own * own;
            // Not fmaxf: a NaN must stay, as on the CPU.
            if (largest == nullptr || !(top.at[k] >= v.at[k])) top.at[k] = v.at[k];
            w.at[k] = shrink * w.at[k] - step_size * (m.at[k] / (sqrtf(top.at[k]) / root + epsilon));
        }
        store(weights + at, w);
        store(means + at, m);
        store(squares + at, v);
        if (largest != nullptr) store(largest + at, top);
        if (copy != nullptr) store_floats(copy + wide_at, w);
    });
}

}

// Updates weights and moments by gradients of f32 or bf16, and writes the new weights in the type of the gradients to
// `copy`, unless it is null. With `largest` the step divides by the largest squares so far (AMSGrad). `decoupled` is 1
// for the weight decay of AdamW, 0 for that of Adam. The arrays do not overlap. `rate` points to the learning rate,
// `number` to the number of the step, from 0. Grid: one block per segment.
extern "C" __global__ void adam_f32(const Segment* segments, float* weights, const float* gradients, float* means,
                                    float* squares, float* NULLABLE largest, float* NULLABLE copy, const float* rate,
                                    const int* number, float beta1, float rest1, float log1, float beta2, float rest2,
                                    float log2, float epsilon, int decoupled) {
    adam::step(segments, weights, gradients, means, squares, largest, copy, rate, number, {beta1, rest1, log1},
               {beta2, rest2, log2}, epsilon, decoupled != 0);
}
extern "C" __global__ void adam_bf16(const Segment* segments, float* weights, const bf16* gradients, float* means,
                                     float* squares, float* NULLABLE largest, bf16* NULLABLE copy, const float* rate,
                                     const int* number, float beta1, float rest1, float log1, float beta2, float rest2,
                                     float log2, float epsilon, int decoupled) {
    adam::step(segments, weights, gradients, means, squares, largest, copy, rate, number, {beta1, rest1, log1},
               {beta2, rest2, log2}, epsilon, decoupled != 0);
}

SOFTCUDA_KERNELS(adam_f32, adam_bf16)
