// The update of the class centers: the kernel of src/ops/center_step.rs, equation (5) of the paper and (6) with its
// sign corrected.
//
// The blocks of the first image of a class update that class, those of its other images return: no list of classes is
// needed, and no two blocks write one center. The images are summed in the order of the batch.
//
// Bytes: 4 m D + 8 c D with c the classes in the batch, and at most 8 m labels per warp. A batch of 16 is launch-bound.
#include "common.cuh"

namespace center_step {

// Updates one class in packs of N features; see the kernel.
template <int N>
__device__ __forceinline__ void step(float* __restrict__ centers, const float* __restrict__ x,
                                     const int* __restrict__ labels, float rate, int label, int m, int d) {
    const auto same = [&](int j) { return labels[j] == label ? 1.0f : 0.0f; };
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    // The loop bounds are uniform in a warp, whose lanes find the images together.
    for (int first = (blockIdx.y * blockDim.x + warp * LANES) * N; first < d; first += gridDim.y * blockDim.x * N) {
        const int k = first + lane * N;
        const bool inside = k < d;
        float* at = centers + static_cast<size_t>(label) * d + k;
        Pack<float, N> center = {}, delta = {};
        if (inside) center = load<N>(at);
        int count = 0;
        for_each_nonzero(m, same, [&](int j, float) {
            ++count;
            if (!inside) return;
            const auto image = load<N>(x + static_cast<size_t>(j) * d + k);
            for (int l = 0; l < N; ++l) delta.at[l] += center.at[l] - image.at[l];
        });
        if (inside) {
            const float factor = rate / (1.0f + static_cast<float>(count));
            for (int l = 0; l < N; ++l) center.at[l] -= factor * delta.at[l];
            store<N>(at, center);
        }
    }
}

}

// Moves the rows of centers [classes, d] whose class is among labels [m] towards x [m, d], at the learning rate rate
// [1]. An image whose label is no class is ignored. Grid: (m, slices) blocks; a thread takes 4 features at a time, or
// one if d is no multiple of 4, so that ceil(d / (4 block)) or ceil(d / block) slices suffice.
extern "C" __global__ void center_step_f32(float* __restrict__ centers, const float* __restrict__ x,
                                           const int* __restrict__ labels, const float* __restrict__ rate, int m, int d,
                                           int classes) {
    const int i = blockIdx.x, label = labels[i];
    if (label < 0 || label >= classes) return;
    for (int before = threadIdx.x % LANES; before - before % LANES < i; before += LANES) {
        if (__any_sync(ALL_LANES, before < i && labels[before] == label)) return;
    }
    if (d % 4 == 0) {
        center_step::step<4>(centers, x, labels, *rate, label, m, d);
    } else {
        center_step::step<1>(centers, x, labels, *rate, label, m, d);
    }
}

SOFTCUDA_KERNELS(center_step_f32)
