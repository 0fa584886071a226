// Generalised-mean pooling: the kernels of src/ops/gem.rs.
//
// Forward and exponent: one thread has a channel of an image and loops over its positions, so that the sums need no
// other thread; neighbouring threads read neighbouring channels. Input: a block has positions of an image, its threads
// the channels. The powers are the cost: at 16 images of 128 positions and 2,048 channels there are 4 million in each
// pass, next to 16 MB of f32.
//
// Bytes, with b bytes per element of x [N, P, C]: forward 2 b N P C + 4 N C (the second read of x comes from a cache);
// backward_input 2 b N P C (3 b to accumulate) + 8 N C; backward_exponent b N P C + 12 N C.
#include "common.cuh"

namespace gem {

// The least value that is pooled: EPS of src/ops/gem.rs.
constexpr float EPS = 1e-6f;

// A NaN stays one.
__device__ __forceinline__ float raised(float x) { return x < EPS ? EPS : x; }

// y [N, C]: the generalised means over the positions of x [N, P, C], each power that of a ratio to the largest value.
template <class T>
__device__ __forceinline__ void forward(const T* __restrict__ x, const float* __restrict__ p, float* __restrict__ y,
                                        int positions, int c) {
    const size_t image = blockIdx.x;
    const float exponent = *p;
    for (int channel = blockIdx.y * blockDim.x + threadIdx.x; channel < c; channel += gridDim.y * blockDim.x) {
        const T* from = x + image * positions * c + channel;
        float largest = EPS;
        for (int i = 0; i < positions; ++i) largest = fmaxf(largest, to_float(from[static_cast<size_t>(i) * c]));
        float sum = 0.0f;
        for (int i = 0; i < positions; ++i) {
            sum += powf(raised(to_float(from[static_cast<size_t>(i) * c])) / largest, exponent);
        }
        y[image * c + channel] = largest * powf(sum / static_cast<float>(positions), 1.0f / exponent);
    }
}

// dx [N, P, C], written or added: dy (x / y)^(p - 1) / P where x is at least EPS.
template <class T>
__device__ __forceinline__ void backward_input(const T* __restrict__ x, const float* __restrict__ p,
                                               const float* __restrict__ y, const float* __restrict__ dy,
                                               T* __restrict__ dx, bool accumulate, int positions, int c) {
    const float power = *p - 1.0f, share = 1.0f / static_cast<float>(positions);
    const size_t image = blockIdx.x;
    for (int i = blockIdx.y; i < positions; i += gridDim.y) {
        const size_t row = (image * positions + i) * c;
        for (int channel = threadIdx.x; channel < c; channel += blockDim.x) {
            const float value = to_float(x[row + channel]);
            const float of_image = y[image * c + channel];
            const float gradient = value < EPS ? 0.0f : dy[image * c + channel] * share * powf(value / of_image, power);
            T* to = dx + row + channel;
            *to = merged(accumulate ? *to : T(), gradient, accumulate);
        }
    }
}

// parts [N, C]: what each channel of each image adds to the exponent's gradient, dy (y / p) (mean of t^p ln t) with
// t = x / y.
template <class T>
__device__ __forceinline__ void backward_exponent(const T* __restrict__ x, const float* __restrict__ p,
                                                  const float* __restrict__ y, const float* __restrict__ dy,
                                                  float* __restrict__ parts, int positions, int c) {
    const size_t image = blockIdx.x;
    const float exponent = *p;
    for (int channel = blockIdx.y * blockDim.x + threadIdx.x; channel < c; channel += gridDim.y * blockDim.x) {
        const T* from = x + image * positions * c + channel;
        const float of_image = y[image * c + channel];
        float sum = 0.0f;
        for (int i = 0; i < positions; ++i) {
            const float ratio = raised(to_float(from[static_cast<size_t>(i) * c])) / of_image;
            sum += powf(ratio, exponent) * logf(ratio);
        }
        const float mean = sum / static_cast<float>(positions);
        parts[image * c + channel] = dy[image * c + channel] * (of_image / exponent) * mean;
    }
}

}

// y [N, C]: the generalised means over the positions of x [N, P, C] with the exponent p [1]. Grid: (N, any), best the
// number of blocks that hold all channels.
extern "C" __global__ void gem_forward_f32(const float* x, const float* p, float* y, int positions, int c) {
    gem::forward(x, p, y, positions, c);
}
extern "C" __global__ void gem_forward_bf16(const bf16* x, const float* p, float* y, int positions, int c) {
    gem::forward(x, p, y, positions, c);
}

// dx [N, P, C], written or added. Grid: (N, any), best the number of positions.
extern "C" __global__ void gem_backward_input_f32(const float* x, const float* p, const float* y, const float* dy,
                                                  float* dx, int accumulate, int positions, int c) {
    gem::backward_input(x, p, y, dy, dx, accumulate, positions, c);
}
extern "C" __global__ void gem_backward_input_bf16(const bf16* x, const float* p, const float* y, const float* dy,
                                                   bf16* dx, int accumulate, int positions, int c) {
    gem::backward_input(x, p, y, dy, dx, accumulate, positions, c);
}

// parts [N, C]: the terms of the exponent's gradient. Grid: as gem_forward.
extern "C" __global__ void gem_backward_exponent_f32(const float* x, const float* p, const float* y, const float* dy,
                                                     float* parts, int positions, int c) {
    gem::backward_exponent(x, p, y, dy, parts, positions, c);
}
extern "C" __global__ void gem_backward_exponent_bf16(const bf16* x, const float* p, const float* y, const float* dy,
                                                      float* parts, int positions, int c) {
    gem::backward_exponent(x, p, y, dy, parts, positions, c);
}

// dp [1], written or added: the sum of parts [n], whose order depends on the block alone. Grid: 1.
extern "C" __global__ void gem_exponent(const float* parts, float* dp, int accumulate, int n) {
    __shared__ float scratch[LANES];
    float sum = 0.0f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = block_reduce<Sum>(sum, 0.0f, scratch);
    if (threadIdx.x == 0) *dp = merged(accumulate ? *dp : 0.0f, sum, accumulate);
}

SOFTCUDA_KERNELS(gem_forward_f32, gem_forward_bf16, gem_backward_input_f32, gem_backward_input_bf16,
                 gem_backward_exponent_f32, gem_backward_exponent_bf16, gem_exponent)
