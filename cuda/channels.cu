// Ranges of channels: the kernels of src/ops/channels.rs.
//
// Bytes, with b bytes per element: copy 2 b R W for W of the channels of R rows (3 b R W to accumulate); spread
// b R (W + C). Packs of 16 bytes if they divide all widths and offsets, else single elements.
#include "common.cuh"

namespace channels {

// to [rows, to_c]: the channels from `to_first` on, written or added, are those of from [rows, from_c] from
// `from_first` on.
template <int V, class T>
__device__ __forceinline__ void copy(const T* __restrict__ from, T* __restrict__ to, bool accumulate, size_t rows,
                                     int width, int from_c, int from_first, int to_c, int to_first) {
    const int packs = width / V;
    for (size_t i = thread_of_grid(); i < rows * packs; i += threads_of_grid()) {
        const size_t row = i / packs;
        const int channel = static_cast<int>(i % packs) * V;
        auto pack = load<V>(from + row * from_c + from_first + channel);
        T* at = to + row * to_c + to_first + channel;
        if (accumulate) {
            const auto old = load<V>(at);
            for (int k = 0; k < V; ++k) pack.at[k] = merged(old.at[k], to_float(pack.at[k]), true);
        }
        store<V>(at, pack);
    }
}

// to [rows, c]: the channels from `first` on are those of from [rows, width], the others 0.
template <int V, class T>
__device__ __forceinline__ void spread(const T* __restrict__ from, T* __restrict__ to, size_t rows, int width, int c,
                                       int first) {
    const int packs = c / V;
    for (size_t i = thread_of_grid(); i < rows * packs; i += threads_of_grid()) {
        const size_t row = i / packs;
        const int channel = static_cast<int>(i % packs) * V;
        Pack<T, V> pack;
        if (channel >= first && channel < first + width) {
            pack = load<V>(from + row * width + channel - first);
        } else {
            for (int k = 0; k < V; ++k) pack.at[k] = from_float<T>(0.0f);
        }
        store<V>(to + row * c + channel, pack);
    }
}

template <class T>
__device__ __forceinline__ void copy_any(const T* from, T* to, bool accumulate, size_t rows, int width, int from_c,
                                         int from_first, int to_c, int to_first) {
    if ((width | from_c | from_first | to_c | to_first) % PACK<T> == 0) {
        copy<PACK<T>>(from, to, accumulate, rows, width, from_c, from_first, to_c, to_first);
    } else {
        copy<1>(from, to, accumulate, rows, width, from_c, from_first, to_c, to_first);
    }
}
template <class T>
__device__ __forceinline__ void spread_any(const T* from, T* to, size_t rows, int width, int c, int first) {
    if ((width | c | first) % PACK<T> == 0) {
        spread<PACK<T>>(from, to, rows, width, c, first);
    } else {
        spread<1>(from, to, rows, width, c, first);
    }
}

}

// `width` channels of each row, written or added, from channel `from_first` of from [rows, from_c] to channel
// `to_first` of to [rows, to_c]. Grid: any.
extern "C" __global__ void channels_copy_f32(const float* from, float* to, int accumulate, size_t rows, int width,
                                             int from_c, int from_first, int to_c, int to_first) {
    channels::copy_any(from, to, accumulate, rows, width, from_c, from_first, to_c, to_first);
}
extern "C" __global__ void channels_copy_bf16(const bf16* from, bf16* to, int accumulate, size_t rows, int width,
                                              int from_c, int from_first, int to_c, int to_first) {
    channels::copy_any(from, to, accumulate, rows, width, from_c, from_first, to_c, to_first);
}

// to [rows, c]: from [rows, width] in the channels from `first` on, 0 in the others. Grid: any.
extern "C" __global__ void channels_spread_f32(const float* from, float* to, size_t rows, int width, int c,
                                               int first) {
    channels::spread_any(from, to, rows, width, c, first);
}
extern "C" __global__ void channels_spread_bf16(const bf16* from, bf16* to, size_t rows, int width, int c, int first) {
    channels::spread_any(from, to, rows, width, c, first);
}

SOFTCUDA_KERNELS(channels_copy_f32, channels_copy_bf16, channels_spread_f32, channels_spread_bf16)
