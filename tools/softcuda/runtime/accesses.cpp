#include "accesses.h"

#include <new>
#include <sys/mman.h>

namespace softcuda {

// Zero pages until marked.
Marks::Marks(std::size_t bytes) : words_(bytes / 64 + 2) {
    for (uint64_t*& bits : bits_) {
        void* memory = mmap(nullptr, words_ * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) throw std::bad_alloc();
        bits = static_cast<uint64_t*>(memory);
    }
}

Marks::~Marks() {
    for (uint64_t* bits : bits_) munmap(bits, words_ * sizeof(uint64_t));
}

template <class F> void Marks::take(F range) {
    for (const bool write : {false, true}) {
        uint64_t* bits = bits_[write];
        std::size_t begin = 0;
        bool is_open = false;
        for (std::size_t word = low_; word < high_; word++) {
            uint64_t rest = bits[word];
            bits[word] = 0;
            if (rest == 0 || rest == ~uint64_t(0)) {  // the common cases at once
                if (is_open != (rest != 0)) {
                    if (is_open) range(begin, word * 64, write);
                    begin = word * 64;
                    is_open = rest != 0;
                }
                continue;
            }
            for (unsigned bit = 0; bit < 64; bit++, rest >>= 1) {
                if (is_open == ((rest & 1) != 0)) continue;
                if (is_open) range(begin, word * 64 + bit, write);
                begin = word * 64 + bit;
                is_open = !is_open;
            }
        }
        if (is_open) range(begin, high_ * 64, write);
    }
    low_ = ~std::size_t(0);
    high_ = 0;
}

std::vector<Accesses::Range> Accesses::take() {
    for (Region* region : marked_) {
        region->marks->take([&](std::size_t begin, std::size_t end, bool write) {
            ranges_.push_back({region, begin, end, write, kernel_});
        });
        region->is_marked = false;
    }
    marked_.clear();
    return std::exchange(ranges_, {});
}

}
