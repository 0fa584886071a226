// Races between streams: two accesses of one byte, one of them writing, by work that no event orders.
//
// Each range of bytes remembers its last write and the reads since then that no later read comes after. This suffices:
// work that is ordered after what is remembered is ordered after what was forgotten.
#pragma once

#include "clock.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace standin {

class Races {
public:
    // Records an access by work; returns the work that it races with, in words, or nothing.
    std::string access(uintptr_t begin, uintptr_t end, bool write, const Stamp& work, const std::string& what);
    // Forgets the bytes of a buffer that is freed.
    void forget(uintptr_t begin, uintptr_t end);

private:
    struct Use {
        uint32_t chain;
        uint64_t tick;  // 0 for none
        uint32_t what;  // number of the words
    };
    struct Span {
        uintptr_t end;
        Use write{0, 0, 0};
        std::vector<Use> reads;
    };
    using Spans = std::map<uintptr_t, Span>;

    void split(uintptr_t at);
    uint32_t number_of(const std::string& what);

    Spans spans_;
    std::map<std::string, uint32_t> numbers_;
    std::vector<const std::string*> words_;
};

}
