// Global average pooling: the kernels of src/ops/global_avg_pool.rs, pool5 of a ResNet.
//
// Forward: the warps of a block share the positions of one image and a tile of its channels, one pack of channels per
// thread, so that a batch of 16 images of 32 positions fills a large chip; the sums of the warps are added in shared
// memory in the order of the warps. Backward: every position of an image gets the same row.
//
// Bytes, with b bytes per element of x [N, P, C]: forward b N P C + 4 N C; backward b N P C (twice to accumulate)
// + 4 N C. For N = 16, P = 32, C = 2048 that is 2 to 4 MB, less than 2 microseconds at a large chip's memory bandwidth,
// so both passes are launch-bound.
#include "common.cuh"

namespace global_avg_pool {

constexpr int MAX_WARPS = 8;

// y [N, C]: the means over the positions of x [N, P, C]; V channels per thread.
template <int V, class T>
__device__ __forceinline__ void forward(const T* __restrict__ x, float* __restrict__ y, int positions, int c) {
    constexpr int TILE = LANES * V, WIDTH = V < 4 ? V : 4;
    alignas(16) __shared__ float sums[MAX_WARPS][TILE];
    const int lane = threadIdx.x % LANES, warp = threadIdx.x / LANES, warps = blockDim.x / LANES;
    const size_t image = blockIdx.x;
    for (int first = blockIdx.y * TILE; first < c; first += gridDim.y * TILE) {
        const int channel = first + lane * V;
        float own[V] = {};
        if (channel < c) {
#pragma unroll 4
            for (int p = warp; p < positions; p += warps) {
                const auto pack = load<V>(x + (image * positions + p) * c + channel);
                for (int k = 0; k < V; ++k) own[k] += to_float(pack.at[k]);
            }
        }
        for (int k = 0; k < V; k += WIDTH) {
            Pack<float, WIDTH> part;
            for (int l = 0; l < WIDTH; ++l) part.at[l] = own[k + l];
            store<WIDTH>(&sums[warp][lane * V + k], part);
        }
        __syncthreads();
        for (int i = threadIdx.x; i < min(TILE, c - first); i += blockDim.x) {
            float sum = 0.0f;
            for (int w = 0; w < warps; ++w) sum += sums[w][i];
            y[image * c + first + i] = sum / static_cast<float>(positions);
        }
        __syncthreads();  // the next tile overwrites the sums
    }
}

// dx [N, P, C], written or added: dy [N, C] / P at every position; V channels per thread.
template <int V, class T>
__device__ __forceinline__ void backward(const float* __restrict__ dy, T* __restrict__ dx, bool accumulate,
                                         int positions, int c) {
    constexpr int WIDTH = V < 4 ? V : 4;
    const float share = 1.0f / static_cast<float>(positions);
    const size_t image = blockIdx.x;
    for (int p = blockIdx.y; p < positions; p += gridDim.y) {
        for (int channel = threadIdx.x * V; channel < c; channel += blockDim.x * V) {
            T* to = dx + (image * positions + p) * c + channel;
            auto pack = accumulate ? load<V>(to) : Pack<T, V>();
            for (int k = 0; k < V; k += WIDTH) {
                const auto part = load<WIDTH>(dy + image * c + channel + k);
                for (int l = 0; l < WIDTH; ++l) {
                    // __fmul_rn rounds the product before the addition, as on the CPU; the compiler would fuse both.
                    pack.at[k + l] = merged(pack.at[k + l], __fmul_rn(part.at[l], share), accumulate);
                }
            }
            store<V>(to, pack);
        }
    }
}

// Packs of channels if every position begins at a multiple of 16 bytes, else one channel at a time.
template <class T> __device__ __forceinline__ void forward_any(const T* x, float* y, int positions, int c) {
    if (c % PACK<T> == 0) {
        forward<PACK<T>>(x, y, positions, c);
    } else {
        forward<1>(x, y, positions, c);
    }
}
template <class T>
__device__ __forceinline__ void backward_any(const float* dy, T* dx, bool accumulate, int positions, int c) {
    if (c % PACK<T> == 0) {
        backward<PACK<T>>(dy, dx, accumulate, positions, c);
    } else {
        backward<1>(dy, dx, accumulate, positions, c);
    }
}

}

// y [N, C]: the means over the positions of x [N, P, C]. Grid: (N, any), best the number of tiles of 32 packs of
// channels. Block: at most 256 threads.
extern "C" __global__ void global_avg_pool_forward_f32(const float* x, float* y, int positions, int c) {
    global_avg_pool::forward_any(x, y, positions, c);
}
extern "C" __global__ void global_avg_pool_forward_bf16(const bf16* x, float* y, int positions, int c) {
    global_avg_pool::forward_any(x, y, positions, c);
}

// dx [N, P, C], written or added: dy [N, C] / P. Grid: (N, any), best the number of positions.
extern "C" __global__ void global_avg_pool_backward_f32(const float* dy, float* dx, int accumulate, int positions,
                                                        int c) {
    global_avg_pool::backward_any(dy, dx, accumulate, positions, c);
}
extern "C" __global__ void global_avg_pool_backward_bf16(const float* dy, bf16* dx, int accumulate, int positions,
                                                         int c) {
    global_avg_pool::backward_any(dy, dx, accumulate, positions, c);
}

SOFTCUDA_KERNELS(global_avg_pool_forward_f32, global_avg_pool_forward_bf16, global_avg_pool_backward_f32,
                 global_avg_pool_backward_bf16)
