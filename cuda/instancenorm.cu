// Instance normalisation: the kernels of src/ops/instancenorm.rs.
//
// Forward and sums: a block has 32 channels of one image; its warps share the positions, and their sums are added in
// shared memory in the order of the warps. Input: a block has positions of an image, its threads the channels.
//
// Bytes, with b bytes per element of x [N, P, C]: forward 2 b N P C (two more reads of x come from a cache),
// backward_sums 2 b N P C, backward_input 3 b N P C (4 b to accumulate), each with a few f32 for each channel of an
// image.
#include "common.cuh"

namespace instancenorm {

// Added to the variance: EPS of src/ops/instancenorm.rs.
constexpr float EPS = 1e-5f;
constexpr int MAX_WARPS = 8;

// Calls f(at) for each position of this warp in the channel of this lane.
template <class F> __device__ __forceinline__ void each(int positions, int c, int channel, F f) {
    const int warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
    if (channel >= c) return;
    for (int p = warp; p < positions; p += warps) f((static_cast<size_t>(blockIdx.x) * positions + p) * c + channel);
}

// All threads of a channel receive the sum over its warps, in their order.
__device__ __forceinline__ float sum_warps(float own, float (&scratch)[MAX_WARPS][LANES]) {
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
    __syncthreads();  // other threads may still read an earlier sum
    scratch[warp][lane] = own;
    __syncthreads();
    float sum = 0.0f;
    for (int w = 0; w < warps; ++w) sum += scratch[w][lane];
    return sum;
}

// y [N, P, C] and the statistics [2, N, C] of each channel of each image: mean and 1 / std.
template <class T>
__device__ __forceinline__ void forward(const T* __restrict__ x, const float* __restrict__ gamma,
                                        const float* __restrict__ beta, float* __restrict__ statistics,
                                        T* __restrict__ y, int positions, int c) {
    __shared__ float scratch[MAX_WARPS][LANES];
    const int lane = threadIdx.x % LANES;
    const size_t image = blockIdx.x, images = gridDim.x;
    for (int first = blockIdx.y * LANES; first < c; first += gridDim.y * LANES) {
        const int channel = first + lane;
        float own = 0.0f;
        each(positions, c, channel, [&](size_t at) { own += to_float(x[at]); });
        const float mean = sum_warps(own, scratch) / static_cast<float>(positions);
        own = 0.0f;
        each(positions, c, channel, [&](size_t at) {
            const float off = to_float(x[at]) - mean;
            own += off * off;
        });
        const float variance = sum_warps(own, scratch) / static_cast<float>(positions);
        if (channel < c) {
            const float factor = 1.0f / sqrtf(variance + EPS);
            const float scale = gamma[channel] * factor, shift = beta[channel];
            each(positions, c, channel,
                 [&](size_t at) { y[at] = from_float<T>((to_float(x[at]) - mean) * scale + shift); });
            if (threadIdx.x < LANES) {
                statistics[image * c + channel] = mean;
                statistics[(images + image) * c + channel] = factor;
            }
        }
    }
}

// sums [2, N, C]: of each channel of each image the sums of dy x^ and of dy.
template <class T>
__device__ __forceinline__ void backward_sums(const T* __restrict__ x, const float* __restrict__ statistics,
                                              const T* __restrict__ dy, float* __restrict__ sums, int positions,
                                              int c) {
    __shared__ float scratch[MAX_WARPS][LANES];
    const int lane = threadIdx.x % LANES;
    const size_t image = blockIdx.x, images = gridDim.x;
    for (int first = blockIdx.y * LANES; first < c; first += gridDim.y * LANES) {
        const int channel = first + lane;
        const float mean = channel < c ? statistics[image * c + channel] : 0.0f;
        const float factor = channel < c ? statistics[(images + image) * c + channel] : 0.0f;
        float products = 0.0f, plain = 0.0f;
        each(positions, c, channel, [&](size_t at) {
            const float gradient = to_float(dy[at]);
            products += gradient * ((to_float(x[at]) - mean) * factor);
            plain += gradient;
        });
        products = sum_warps(products, scratch);
        plain = sum_warps(plain, scratch);
        if (threadIdx.x < LANES && channel < c) {
            sums[image * c + channel] = products;
            sums[(images + image) * c + channel] = plain;
        }
    }
}

// dx [N, P, C], written or added: gamma / std (dy - mean(dy) - x^ mean(dy x^)).
template <class T>
__device__ __forceinline__ void backward_input(const T* __restrict__ x, const float* __restrict__ gamma,
                                               const float* __restrict__ statistics, const float* __restrict__ sums,
                                               const T* __restrict__ dy, T* __restrict__ dx, bool accumulate,
                                               int positions, int c) {
    const size_t image = blockIdx.x, images = gridDim.x;
    const float share = 1.0f / static_cast<float>(positions);
    for (int p = blockIdx.y; p < positions; p += gridDim.y) {
        const size_t row = (image * positions + p) * c;
        for (int channel = threadIdx.x; channel < c; channel += blockDim.x) {
            const size_t own = image * c + channel, other = (images + image) * c + channel;
            const float factor = statistics[other];
            const float normalised = (to_float(x[row + channel]) - statistics[own]) * factor;
            const float centred = to_float(dy[row + channel]) - sums[other] * share - normalised * (sums[own] * share);
            T* to = dx + row + channel;
            *to = merged(accumulate ? *to : from_float<T>(0.0f), gamma[channel] * factor * centred, accumulate);
        }
    }
}

}

// y [N, P, C] and statistics [2, N, C] (mean, 1 / std) of x [N, P, C]. Grid: (N, any), best the number of tiles of 32
// channels. Block: at most 256 threads.
extern "C" __global__ void instancenorm_forward_f32(const float* x, const float* gamma, const float* beta,
                                                    float* statistics, float* y, int positions, int c) {
    instancenorm::forward(x, gamma, beta, statistics, y, positions, c);
}
extern "C" __global__ void instancenorm_forward_bf16(const bf16* x, const float* gamma, const float* beta,
                                                     float* statistics, bf16* y, int positions, int c) {
    instancenorm::forward(x, gamma, beta, statistics, y, positions, c);
}

// sums [2, N, C]: the sums of dy x^ and of dy over the positions. Grid and block: as forward.
extern "C" __global__ void instancenorm_backward_sums_f32(const float* x, const float* statistics, const float* dy,
                                                          float* sums, int positions, int c) {
    instancenorm::backward_sums(x, statistics, dy, sums, positions, c);
}
extern "C" __global__ void instancenorm_backward_sums_bf16(const bf16* x, const float* statistics, const bf16* dy,
                                                           float* sums, int positions, int c) {
    instancenorm::backward_sums(x, statistics, dy, sums, positions, c);
}

// gradient [C], written or added: the sum over the images of part `which` of sums [2, N, C], in their order. Grid: any.
extern "C" __global__ void instancenorm_backward_parameter(const float* sums, float* gradient, int accumulate,
                                                           int which, int n, int c) {
    for (size_t channel = thread_of_grid(); channel < c; channel += threads_of_grid()) {
        float sum = 0.0f;
        for (int image = 0; image < n; ++image) sum += sums[(static_cast<size_t>(which) * n + image) * c + channel];
        gradient[channel] = merged(accumulate ? gradient[channel] : 0.0f, sum, accumulate);
    }
}

// dx [N, P, C], written or added. Grid: (N, any), best the number of positions.
extern "C" __global__ void instancenorm_backward_input_f32(const float* x, const float* gamma, const float* statistics,
                                                           const float* sums, const float* dy, float* dx,
                                                           int accumulate, int positions, int c) {
    instancenorm::backward_input(x, gamma, statistics, sums, dy, dx, accumulate, positions, c);
}
extern "C" __global__ void instancenorm_backward_input_bf16(const bf16* x, const float* gamma, const float* statistics,
                                                            const float* sums, const bf16* dy, bf16* dx,
                                                            int accumulate, int positions, int c) {
    instancenorm::backward_input(x, gamma, statistics, sums, dy, dx, accumulate, positions, c);
}

SOFTCUDA_KERNELS(instancenorm_forward_f32, instancenorm_forward_bf16, instancenorm_backward_sums_f32,
                 instancenorm_backward_sums_bf16, instancenorm_backward_parameter, instancenorm_backward_input_f32,
                 instancenorm_backward_input_bf16)
