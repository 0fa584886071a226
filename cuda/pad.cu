// Padding of channels with zeros, and cropping: cuDNN's convolutions need channels in multiples of 8 in bf16, and most
// of those for f32 in NHWC want multiples of 4; images have 3.
//
//   pad:  y[r, c] = x[r, c] for c < C_in, else 0;   crop: y[r, c] = x[r, c], written or added
//
// A thread writes 16 bytes of y, which may span several rows. Its reads are not aligned, so they are single elements,
// which the cache combines.
//
// Bytes, of elements of e: padding e (C_in + C_out) R; cropping 2 e C_out R, and e C_out R more to accumulate. Memory
// transfers sectors of 32 bytes, so a crop from few channels reads e C_in R.
#include "common.cuh"

namespace pad {

// Calls f(k, row, channel) for the N elements of a matrix [rows, c] from element `first` on.
template <int N, class F> __device__ __forceinline__ void each(size_t first, int c, F f) {
    size_t row = first / c;
    int channel = static_cast<int>(first - row * c);
#pragma unroll
    for (int k = 0; k < N; ++k) {
        f(k, row, channel);
        if (++channel == c) {
            channel = 0;
            ++row;
        }
    }
}

template <class T>
__device__ __forceinline__ void channels(const T* __restrict__ x, T* __restrict__ y, size_t rows, int c_in,
                                         int c_out) {
    for_each_of_grid<T>(rows * c_out, [&](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        Pack<float, N> pack = {};
        each<N>(i, c_out, [&](int k, size_t row, int channel) {
            if (channel < c_in) pack.at[k] = to_float(x[row * c_in + channel]);
        });
        store_floats(y + i, pack);
    });
}

template <class T>
__device__ __forceinline__ void crop(const T* __restrict__ x, T* __restrict__ y, bool accumulate, size_t rows,
                                     int c_in, int c_out) {
    for_each_of_grid<T>(rows * c_out, [&](size_t i, auto width) {
        constexpr int N = decltype(width)::value;
        auto pack = accumulate ? load<N>(y + i) : Pack<T, N>();
        each<N>(i, c_out, [&](int k, size_t row, int channel) {
            pack.at[k] = merged(pack.at[k], to_float(x[row * c_in + channel]), accumulate);
        });
        store<N>(y + i, pack);
    });
}

}

// y [rows, C_out]: x [rows, C_in] padded with zeros, with C_out at least C_in. Grid: any, best a thread for each 16
// bytes of y.
extern "C" __global__ void pad_channels_f32(const float* x, float* y, size_t rows, int c_in, int c_out) {
    pad::channels(x, y, rows, c_in, c_out);
}
extern "C" __global__ void pad_channels_bf16(const bf16* x, bf16* y, size_t rows, int c_in, int c_out) {
    pad::channels(x, y, rows, c_in, c_out);
}

// y [rows, C_out], written or added: the first channels of x [rows, C_in], with C_out at most C_in; sums are in f32 and
// rounded once. Grid: any, best a thread for each 16 bytes of y.
extern "C" __global__ void crop_channels_f32(const float* x, float* y, int accumulate, size_t rows, int c_in,
                                             int c_out) {
    pad::crop(x, y, accumulate, rows, c_in, c_out);
}
extern "C" __global__ void crop_channels_bf16(const bf16* x, bf16* y, int accumulate, size_t rows, int c_in,
                                              int c_out) {
    pad::crop(x, y, accumulate, rows, c_in, c_out);
}

SOFTCUDA_KERNELS(pad_channels_f32, pad_channels_bf16, crop_channels_f32, crop_channels_bf16)
