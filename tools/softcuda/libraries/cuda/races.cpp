#include "races.h"

namespace standin {

// Makes `at` no inner point of a span.
void Races::split(uintptr_t at) {
    auto after = spans_.lower_bound(at);
    if (after == spans_.begin()) return;
    auto& [begin, span] = *std::prev(after);
    if (span.end <= at) return;
    Span second = span;
    span.end = at;
    spans_.emplace_hint(after, at, std::move(second));
}

uint32_t Races::number_of(const std::string& what) {
    const auto [found, is_new] = numbers_.try_emplace(what, static_cast<uint32_t>(words_.size()));
    if (is_new) words_.push_back(&found->first);
    return found->second;
}

std::string Races::access(uintptr_t begin, uintptr_t end, bool write, const Stamp& work, const std::string& what) {
    const Use now{work.chain, work.tick(), number_of(what)};
    const auto is_before = [&](const Use& use) { return work.clock.at(use.chain) >= use.tick; };
    split(begin);
    split(end);
    std::string race;
    const auto first = spans_.lower_bound(begin);
    for (auto at = first; at != spans_.end() && at->first < end; ++at) {
        const Span& span = at->second;
        const auto report = [&](const Use& use, const char* verb) {
            if (!race.empty() || is_before(use)) return;
            race = *words_[use.what] + " " + verb + " (work " + std::to_string(use.tick) + " of chain " +
                   std::to_string(use.chain) + ")";
        };
        report(span.write, "has written");
        if (write)
            for (const Use& read : span.reads) report(read, "has read");
    }
    if (write) {
        auto at = first;
        while (at != spans_.end() && at->first < end) at = spans_.erase(at);
        spans_.emplace_hint(at, begin, Span{end, now, {}});
        return race;
    }
    uintptr_t from = begin;
    for (auto at = first; from < end;) {
        if (at == spans_.end() || at->first > from) {  // bytes without a history
            const uintptr_t to = at == spans_.end() ? end : std::min(end, at->first);
            spans_.emplace_hint(at, from, Span{to, {0, 0, 0}, {now}});
            from = to;
            continue;
        }
        std::erase_if(at->second.reads, is_before);
        at->second.reads.push_back(now);
        from = at->second.end;
        ++at;
    }
    return race;
}

void Races::forget(uintptr_t begin, uintptr_t end) {
    split(begin);
    split(end);
    auto at = spans_.lower_bound(begin);
    while (at != spans_.end() && at->first < end) at = spans_.erase(at);
}

}
