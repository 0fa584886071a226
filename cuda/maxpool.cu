// Max pooling: the kernels of src/ops/maxpool.rs, pool1 of a ResNet.
//
// One block per row of the image that is written, one thread for a few neighbouring channels of one pixel. The backward
// pass gathers: each input pixel sums over the few windows that cover it and have their maximum there, so no atomic
// additions are needed and every sum has the CPU's order. Forward and backward (f32) give the CPU's bits.
//
// Bytes, with b bytes per element, X the elements of x and Y those of y, if overlapping windows hit the caches: forward
// b (X + Y) + Y for the places; backward b (X + Y) + Y, and b X more to accumulate. Windows of 3 with stride 2 read x
// 2.25 times; the L1 cache serves the overlap along a row (1.5 times is left), the L2 cache the overlap between rows.
#include "common.cuh"

namespace maxpool {

// The sizes of the input (h, w) and output (oh, ow) images, and the pooling parameters.
struct Images {
    int h, w, c, oh, ow, kernel, stride, pad;
};

// y [n, oh, ow, c] of x [n, h, w, c], and the position of each maximum in its window: row times kernel plus column. NaN
// is larger than every number, and of equal values the first is taken.
template <int N, class T>
__device__ __forceinline__ void forward(const T* __restrict__ x, T* __restrict__ y, uint8_t* __restrict__ places,
                                        Images images) {
    const int c = images.c, kernel = images.kernel, packs = c / N;
    const size_t image = blockIdx.x / images.oh;
    const int top = static_cast<int>(blockIdx.x % images.oh) * images.stride - images.pad;
    const int first_row = max(top, 0), end_row = min(top + kernel, images.h);
    for (int i = threadIdx.x; i < images.ow * packs; i += blockDim.x) {
        const int ox = i / packs, channel = i % packs * N;
        const int left = ox * images.stride - images.pad;
        const int first_column = max(left, 0), end_column = min(left + kernel, images.w);
        float best[N];
        int place[N];
        for (int k = 0; k < N; ++k) {
            best[k] = -INFINITY;
            place[k] = (first_row - top) * kernel + first_column - left;
        }
        for (int iy = first_row; iy < end_row; ++iy) {
            const T* row = x + (image * images.h + iy) * images.w * c + channel;
            for (int ix = first_column; ix < end_column; ++ix) {
                const auto pack = load<N>(row + static_cast<size_t>(ix) * c);
                const int here = (iy - top) * kernel + ix - left;
                for (int k = 0; k < N; ++k) {
                    const float value = to_float(pack.at[k]);
                    const bool take = value > best[k] || isnan(value);
                    best[k] = take ? value : best[k];
                    place[k] = take ? here : place[k];
                }
            }
        }
        Pack<T, N> maximum;
        Pack<uint8_t, N> where;
        for (int k = 0; k < N; ++k) {
            maximum.at[k] = from_float<T>(best[k]);
            where.at[k] = static_cast<uint8_t>(place[k]);
        }
        const size_t at = (static_cast<size_t>(blockIdx.x) * images.ow + ox) * c + channel;
        store<N>(y + at, maximum);
        if (places) store<N>(places + at, where);
    }
}

// The windows along one side that cover a pixel.
struct Covering {
    int first, end;
};

__device__ __forceinline__ Covering covering(int pixel, int windows, const Images& images) {
    const int at = pixel + images.pad;
    return {max(at - images.kernel + images.stride, 0) / images.stride, min(windows, at / images.stride + 1)};
}

// dx [n, h, w, c], written or added, from dy [n, oh, ow, c] and the places of the forward pass.
template <int N, class T>
__device__ __forceinline__ void backward(const T* __restrict__ dy, const uint8_t* __restrict__ places,
                                         T* __restrict__ dx, bool accumulate, Images images) {
    const int c = images.c, kernel = images.kernel, stride = images.stride, pad = images.pad, packs = c / N;
    const size_t image = blockIdx.x / images.h;
    const int iy = blockIdx.x % images.h;
    const Covering rows = covering(iy, images.oh, images);
    for (int i = threadIdx.x; i < images.w * packs; i += blockDim.x) {
        const int ix = i / packs, channel = i % packs * N;
        const Covering columns = covering(ix, images.ow, images);
        float sum[N] = {};
        for (int oy = rows.first; oy < rows.end; ++oy) {
            for (int ox = columns.first; ox < columns.end; ++ox) {
                const size_t at = ((image * images.oh + oy) * images.ow + ox) * c + channel;
                const auto pack = load<N>(dy + at);
                const auto place = load<N>(places + at);
                const int here = (iy + pad - oy * stride) * kernel + ix + pad - ox * stride;
                for (int k = 0; k < N; ++k) sum[k] += place.at[k] == here ? to_float(pack.at[k]) : 0.0f;
            }
        }
        T* to = dx + (static_cast<size_t>(blockIdx.x) * images.w + ix) * c + channel;
        auto pack = accumulate ? load<N>(to) : Pack<T, N>();
        for (int k = 0; k < N; ++k) pack.at[k] = merged(pack.at[k], sum[k], accumulate);
        store<N>(to, pack);
    }
}

// Packs of channels if every pixel begins at a multiple of 16 bytes, else one channel at a time.
template <class T>
__device__ __forceinline__ void forward_any(const T* x, T* y, uint8_t* places, Images images) {
    if (images.c % PACK<T> == 0) {
        forward<PACK<T>>(x, y, places, images);
    } else {
        forward<1>(x, y, places, images);
    }
}
template <class T>
__device__ __forceinline__ void backward_any(const T* dy, const uint8_t* places, T* dx, bool accumulate,
                                             Images images) {
    if (images.c % PACK<T> == 0) {
        backward<PACK<T>>(dy, places, dx, accumulate, images);
    } else {
        backward<1>(dy, places, dx, accumulate, images);
    }
}

}

// y and places [n, oh, ow, c] of x [n, h, w, c]; `places` is null if there is no backward pass. The kernel is 1 to 16,
// the pad at most half of it, and every window begins inside the image and its padding (`MaxPool::windows`). Grid: n *
// oh blocks.
extern "C" __global__ void maxpool_forward_f32(const float* x, float* y, uint8_t* NULLABLE places, int h, int w, int c,
                                               int oh, int ow, int kernel, int stride, int pad) {
    maxpool::forward_any(x, y, places, {h, w, c, oh, ow, kernel, stride, pad});
}
extern "C" __global__ void maxpool_forward_bf16(const bf16* x, bf16* y, uint8_t* NULLABLE places, int h, int w, int c,
                                                int oh, int ow, int kernel, int stride, int pad) {
    maxpool::forward_any(x, y, places, {h, w, c, oh, ow, kernel, stride, pad});
}

// dx [n, h, w, c], written or added. Grid: n * h blocks.
extern "C" __global__ void maxpool_backward_f32(const float* dy, const uint8_t* places, float* dx, int accumulate,
                                                int h, int w, int c, int oh, int ow, int kernel, int stride, int pad) {
    maxpool::backward_any(dy, places, dx, accumulate, {h, w, c, oh, ow, kernel, stride, pad});
}
extern "C" __global__ void maxpool_backward_bf16(const bf16* dy, const uint8_t* places, bf16* dx, int accumulate,
                                                 int h, int w, int c, int oh, int ow, int kernel, int stride, int pad) {
    maxpool::backward_any(dy, places, dx, accumulate, {h, w, c, oh, ow, kernel, stride, pad});
}

SOFTCUDA_KERNELS(maxpool_forward_f32, maxpool_forward_bf16, maxpool_backward_f32, maxpool_backward_bf16)
