// Matrix products in f32, which both libraries use. Each sum has its terms in ascending order, with one rounding
// after each multiplication and addition, so its bits depend neither on the threads nor on the processor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#define STANDIN_VECTORS __attribute__((target_clones("default", "avx2")))
#else
#define STANDIN_VECTORS
#endif

namespace standin {

// A matrix with arbitrary strides: element (row, column) at data[row * row_step + column * column_step].
struct View {
    const float* data;
    ptrdiff_t row_step, column_step;
    const float& at(ptrdiff_t row, ptrdiff_t column) const { return data[row * row_step + column * column_step]; }
};

// A tile of C that fits the registers: rows, and columns as two vectors.
constexpr ptrdiff_t tile_rows = 4, tile_columns = 16;
struct alignas(32) Lanes {
    typedef float Vector __attribute__((vector_size(32)));
    Vector left, right;
};

// Rows first..last of a panel of C: A times a panel of B, which holds a row's columns side by side.
STANDIN_VECTORS inline void multiply(const View& a, const Lanes* panel, ptrdiff_t k, ptrdiff_t first, ptrdiff_t last,
                                     float* c,
                                     ptrdiff_t c_step, size_t columns) {
    for (ptrdiff_t i = first; i < last; i += tile_rows) {
        const float* row[tile_rows];
        for (ptrdiff_t r = 0; r < tile_rows; r++) row[r] = &a.at(std::min(i + r, last - 1), 0);
        Lanes sums[tile_rows] = {};
        for (ptrdiff_t l = 0; l < k; l++)
            for (ptrdiff_t r = 0; r < tile_rows; r++) {
                const float factor = row[r][l * a.column_step];
                sums[r].left += factor * panel[l].left;
                sums[r].right += factor * panel[l].right;
            }
        for (ptrdiff_t r = 0; r < tile_rows && i + r < last; r++)
            std::memcpy(c + (i + r) * c_step, &sums[r], columns * sizeof(float));
    }
}

// Calls f(first, last) for parts of 0..count, on as many threads as `work` multiplications are worth.
template <class F> void in_parallel(ptrdiff_t count, double work, F f) {
    constexpr double worth_a_thread = 1e6;
    const double cores = std::max(1u, std::thread::hardware_concurrency());
    const auto threads = static_cast<ptrdiff_t>(std::clamp(work / worth_a_thread, 1.0, cores));
    std::vector<std::thread> others;
    for (ptrdiff_t t = 1; t < threads; t++) others.emplace_back(f, count * t / threads, count * (t + 1) / threads);
    f(0, count / threads);
    for (std::thread& other : others) other.join();
}

// C = A B with A [m, k], B [k, n] and C [m, n], whose rows lie one behind the other. Threads share the longer side of
// C.
inline void multiply(ptrdiff_t m, ptrdiff_t n, ptrdiff_t k, const View& a, const View& b, float* c) {
    const ptrdiff_t panels = (n + tile_columns - 1) / tile_columns;
    const bool by_rows = m >= n;
    in_parallel(by_rows ? m : panels, double(m) * double(n) * double(k), [&](ptrdiff_t first, ptrdiff_t last) {
        std::vector<Lanes> panel(static_cast<size_t>(k));
        for (ptrdiff_t p = by_rows ? 0 : first; p < (by_rows ? panels : last); p++) {
            const ptrdiff_t begin = p * tile_columns, columns = std::min(tile_columns, n - begin);
            auto* to = reinterpret_cast<float*>(panel.data());
            for (ptrdiff_t l = 0; l < k; l++, to += tile_columns)
                for (ptrdiff_t j = 0; j < columns; j++) to[j] = b.at(l, begin + j);
            multiply(a, panel.data(), k, by_rows ? first : 0, by_rows ? last : m, c + begin, n,
                     static_cast<size_t>(columns));
        }
    });
}

}
