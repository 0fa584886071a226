// The center loss as a term of its own: the kernels of src/ops/center_loss.rs.
//
// Distances are sums of squared differences: the product form would lose the distance of features near their center.
//
// Bytes: forward 8 m D; backward 12 m D when the gradient is written. A batch of 16 is launch-bound.
#include "common.cuh"

namespace center_loss {

// This thread's partial sum of ||a - b||^2 of two rows of d, in packs of N.
template <int N>
__device__ __forceinline__ float squared_distance(const float* __restrict__ a, const float* __restrict__ b, int d) {
    float sum = 0.0f;
    for (int k = threadIdx.x * N; k < d; k += blockDim.x * N) {
        const auto a_pack = load<N>(a + k), b_pack = load<N>(b + k);
        for (int l = 0; l < N; ++l) {
            const float difference = a_pack.at[l] - b_pack.at[l];
            sum += difference * difference;
        }
    }
    return sum;
}

// Writes or adds scale (a - b) of two rows of d, in packs of N; the blocks along y share a row.
template <int N>
__device__ __forceinline__ void pull(const float* __restrict__ a, const float* __restrict__ b, float scale,
                                     float* __restrict__ dx, bool accumulate, int d) {
    for (int k = (blockIdx.y * blockDim.x + threadIdx.x) * N; k < d; k += gridDim.y * blockDim.x * N) {
        const auto a_pack = load<N>(a + k), b_pack = load<N>(b + k);
        Pack<float, N> gradient = {};
        if (accumulate) gradient = load<N>(dx + k);
        for (int l = 0; l < N; ++l) {
            gradient.at[l] = merged(gradient.at[l], scale * (a_pack.at[l] - b_pack.at[l]), accumulate);
        }
        store<N>(dx + k, gradient);
    }
}

}

// distances [m]: ||x_i - centers[labels_i]||^2 of x [m, d] and centers [classes, d]; NaN for a label that is no class.
// Grid: m blocks.
extern "C" __global__ void center_loss_forward_f32(const float* __restrict__ x, const int* __restrict__ labels,
                                                   const float* __restrict__ centers, float* __restrict__ distances,
                                                   int d, int classes) {
    __shared__ float scratch[LANES];
    const int label = labels[blockIdx.x];
    if (label < 0 || label >= classes) {
        if (threadIdx.x == 0) distances[blockIdx.x] = NAN;
        return;
    }
    const float *image = x + static_cast<size_t>(blockIdx.x) * d, *center = centers + static_cast<size_t>(label) * d;
    const float own = d % 4 == 0 ? center_loss::squared_distance<4>(image, center, d)
                                 : center_loss::squared_distance<1>(image, center, d);
    const float sum = block_reduce<Sum>(own, 0.0f, scratch);
    if (threadIdx.x == 0) distances[blockIdx.x] = sum;
}

// loss [1]: the mean of distances [m]. Grid: one block.
extern "C" __global__ void center_loss_mean(const float* __restrict__ distances, float* __restrict__ loss, int m) {
    __shared__ float scratch[LANES];
    float own = 0.0f;
    for (int i = threadIdx.x; i < m; i += blockDim.x) own += distances[i];
    const float sum = block_reduce<Sum>(own, 0.0f, scratch);
    if (threadIdx.x == 0) *loss = sum / static_cast<float>(m);
}

// dx [m, d], written or added: (x_i - centers[labels_i]) 2 dy / m; NaN for a label that is no class. Grid: (m, slices)
// blocks; a thread takes 4 features at a time, or one if d is no multiple of 4.
extern "C" __global__ void center_loss_backward_f32(const float* __restrict__ x, const int* __restrict__ labels,
                                                    const float* __restrict__ centers, const float* __restrict__ dy,
                                                    float* __restrict__ dx, int accumulate, int d, int classes) {
    const int label = labels[blockIdx.x];
    const bool is_class = 0 <= label && label < classes;
    const size_t row = static_cast<size_t>(blockIdx.x) * d;
    // Without a class the row is pulled to itself, by NaN.
    const float* center = is_class ? centers + static_cast<size_t>(label) * d : x + row;
    const float scale = is_class ? 2.0f * *dy / static_cast<float>(gridDim.x) : NAN;
    if (d % 4 == 0) {
        center_loss::pull<4>(x + row, center, scale, dx + row, accumulate, d);
    } else {
        center_loss::pull<1>(x + row, center, scale, dx + row, accumulate, d);
    }
}

SOFTCUDA_KERNELS(center_loss_forward_f32, center_loss_mean, center_loss_backward_f32)
