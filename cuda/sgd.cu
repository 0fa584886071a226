// Stochastic gradient descent over flat arrays: the kernels of src/ops/sgd.rs. segment.cuh describes
// the arrays.
//
// Bytes per element, with b bytes a gradient: 16 + b (weight 8, velocity 8), b more with the copy. nvcc fuses
// multiplications with following additions, so the last bits differ from the CPU's.
#include "segment.cuh"

namespace sgd {

enum class Update { PyTorch, Nesterov, Caffe };

template <Update UPDATE>
__device__ __forceinline__ void move(float& w, float g, float& v, float momentum, float decay, float rate) {
    const float own = g + decay * w;
    if (UPDATE == Update::Caffe) {
        v = momentum * v + rate * own;
        w -= v;
    } else {
        v = momentum * v + own;
        w -= rate * (UPDATE == Update::Nesterov ? own + momentum * v : v);
    }
}

template <Update UPDATE, class G>
__device__ __forceinline__ void step(const Segment* __restrict__ segments, float* __restrict__ weights,
                                     const G* __restrict__ gradients, float* __restrict__ velocities,
                                     G* __restrict__ copy, const float* __restrict__ rate, float momentum) {
    const Segment segment = segments[blockIdx.x];
    const float own_rate = *rate * segment.lr_mult;
    for_each_of_segment(segment, weights, [&](size_t at, size_t wide_at, auto width) {
        constexpr int N = decltype(width)::value;
        // ANCHOR: update
        auto w = load<N>(weights + at), v = load<N>(velocities + at);
        const auto g = load_floats<N>(gradients + wide_at);
        for (int k = 0; k < N; ++k) move<UPDATE>(w.at[k], g.at[k], v.at[k], momentum, segment.decay, own_rate);
        store(weights + at, w);
        store(velocities + at, v);
        if (copy != nullptr) store_floats(copy + wide_at, w);
        // ANCHOR_END: update
    });
}

}

// Updates weights and velocities by gradients of f32 or bf16, and writes the new weights in the type of the gradients
// to `copy`, unless it is null. The four arrays do not overlap. `rate` points to the learning rate of the step. Grid:
// one block per segment.
extern "C" __global__ void sgd_pytorch_f32(const Segment* segments, float* weights, const float* gradients,
                                           float* velocities, float* NULLABLE copy, const float* rate, float momentum) {
    sgd::step<sgd::Update::PyTorch>(segments, weights, gradients, velocities, copy, rate, momentum);
}
extern "C" __global__ void sgd_pytorch_bf16(const Segment* segments, float* weights, const bf16* gradients,
                                            float* velocities, bf16* NULLABLE copy, const float* rate, float momentum) {
    sgd::step<sgd::Update::PyTorch>(segments, weights, gradients, velocities, copy, rate, momentum);
}
extern "C" __global__ void sgd_nesterov_f32(const Segment* segments, float* weights, const float* gradients,
                                            float* velocities, float* NULLABLE copy, const float* rate,
                                            float momentum) {
    sgd::step<sgd::Update::Nesterov>(segments, weights, gradients, velocities, copy, rate, momentum);
}
extern "C" __global__ void sgd_nesterov_bf16(const Segment* segments, float* weights, const bf16* gradients,
                                             float* velocities, bf16* NULLABLE copy, const float* rate,
                                             float momentum) {
    sgd::step<sgd::Update::Nesterov>(segments, weights, gradients, velocities, copy, rate, momentum);
}
extern "C" __global__ void sgd_caffe_f32(const Segment* segments, float* weights, const float* gradients,
                                         float* velocities, float* NULLABLE copy, const float* rate, float momentum) {
    sgd::step<sgd::Update::Caffe>(segments, weights, gradients, velocities, copy, rate, momentum);
}
extern "C" __global__ void sgd_caffe_bf16(const Segment* segments, float* weights, const bf16* gradients,
                                          float* velocities, bf16* NULLABLE copy, const float* rate, float momentum) {
    sgd::step<sgd::Update::Caffe>(segments, weights, gradients, velocities, copy, rate, momentum);
}

SOFTCUDA_KERNELS(sgd_pytorch_f32, sgd_pytorch_bf16, sgd_nesterov_f32, sgd_nesterov_bf16, sgd_caffe_f32,
                 sgd_caffe_bf16)
