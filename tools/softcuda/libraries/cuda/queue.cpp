// The queues of the streams: what comes before what, in which order it runs, and what it accesses.
#include "driver.h"

#include <algorithm>
#include <utility>

using namespace standin;

namespace standin {

namespace {

Result result_of(int fault) {
    switch (fault) {
        case SOFTCUDA_OK: return SUCCESS;
        case SOFTCUDA_OUT_OF_BOUNDS:
        case SOFTCUDA_USE_AFTER_FREE: return ILLEGAL_ADDRESS;
        case SOFTCUDA_MISALIGNED: return MISALIGNED_ADDRESS;
        default: return LAUNCH_FAILED;
    }
}

size_t random_below(size_t limit) {
    uint64_t& state = driver().random;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>((state >> 33) % limit);
}

struct Check {
    Driver& d;
    const Stamp& stamp;
    bool raced;
};

// Compares one access of the work that has just run with the history.
void check_access(void* context, uintptr_t buffer, size_t begin, size_t end, int is_written, const char* name,
                  const char* what) {
    Check& check = *static_cast<Check*>(context);
    const std::string race = check.d.races.access(buffer + begin, buffer + end, is_written, check.stamp, what);
    if (race.empty() || check.raced) return;
    check.raced = true;
    say("race between streams: " + std::string(what) + (is_written ? " writes" : " reads") + " bytes " +
        std::to_string(begin) + " to " + std::to_string(end) + " of `" + name + "`, and no event orders it after " +
        race + "; record an event behind the one and let the stream of the other wait for it");
}

void perform(const Work& work, const Stamp& stamp) {
    Driver& d = driver();
    const int fault = work(d.device);
    Check check{d, stamp, false};
    d.kernels.take_accesses(d.device, check_access, &check);
    if (fault) {
        say(d.kernels.message(d.device));
        d.sticky = result_of(fault);
    } else if (check.raced) {
        d.sticky = LAUNCH_FAILED;
    }
}

// Runs a graph's nodes, each after those that it waits for.
void perform(const Graph& graph, const std::vector<Stamp>& stamps) {
    Driver& d = driver();
    const size_t count = graph.nodes.size();
    std::vector<size_t> waits_for(count), ready;
    std::vector<std::vector<size_t>> then(count);
    for (size_t i = 0; i < count; i++) {
        waits_for[i] = graph.nodes[i].after.size();
        for (const size_t before : graph.nodes[i].after) then[before].push_back(i);
        if (!waits_for[i]) ready.push_back(i);
    }
    const auto is_behind = [&](size_t a, size_t b) {
        const uint32_t left = graph.nodes[a].branch, right = graph.nodes[b].branch;
        if (left != right) return d.order == Order::Needed ? left > right : left < right;
        return a > b;
    };
    while (!ready.empty() && !d.sticky) {
        const auto at = d.order == Order::Mixed ? ready.begin() + static_cast<ptrdiff_t>(random_below(ready.size()))
                                                : std::max_element(ready.begin(), ready.end(),
                                                  [&](size_t a, size_t b) { return is_behind(a, b); });
        const size_t node = *at;
        ready.erase(at);
        perform(graph.nodes[node].work, stamps[node]);
        for (const size_t next : then[node])
            if (!--waits_for[next]) ready.push_back(next);
    }
}

// The stream whose first item runs next, so that in the end `wanted` gets on.
Stream& choose(Stream& wanted) {
    Driver& d = driver();
    if (d.order != Order::Needed) {
        std::vector<Stream*> runnable;
        for (const auto& stream : d.streams)
            if (stream.get() != &wanted && !stream->queue.empty() && !stream->queue.front().is_blocked())
                runnable.push_back(stream.get());
        if (d.order == Order::Others && !runnable.empty()) return *runnable.back();
        if (!wanted.queue.front().is_blocked()) runnable.push_back(&wanted);
        if (!runnable.empty()) return *runnable[random_below(runnable.size())];
    }
    // An event is recorded before it is waited for, so this ends.
    Stream* stream = &wanted;
    while (stream->queue.front().is_blocked()) stream = stream->queue.front().other.get();
    return *stream;
}

// The null stream and the blocking streams wait for each other.
Result drain_before(Stream& stream) {
    Driver& d = driver();
    if (&stream == d.null_stream.get()) {
        for (const auto& other : d.streams)
            if (other->blocking)
                if (const Result result = drain(*other)) return result;
    } else if (stream.blocking) {
        return drain(*d.null_stream);
    }
    return SUCCESS;
}

// What a piece of work of a chain comes after, and itself.
Stamp stamp(uint32_t chain, Clock clock) {
    clock.tick(chain);
    return {chain, std::move(clock)};
}

uint32_t chain_of(Stream& stream, uint32_t branch) {
    while (stream.chains.size() <= branch) stream.chains.push_back(driver().chains++);
    return stream.chains[branch];
}

void append(Stream& stream, Item item, Clock clock) {
    stream.clock_before = std::exchange(stream.clock, std::move(clock));
    stream.queue.push_back(std::move(item));
    ++stream.enqueued;
}

}

bool Item::is_blocked() const { return other && other->done < position; }

Result drain(Stream& stream, uint64_t position, const Clock& clock) {
    Driver& d = driver();
    const Clock waited = clock;
    while (stream.done < position && !d.sticky) {
        Stream& next = choose(stream);
        const Item item = std::move(next.queue.front());
        next.queue.pop_front();
        ++next.done;
        if (item.graph) {
            perform(*item.graph, item.stamps);
        } else if (item.work) {
            perform(item.work, item.stamp);
        }
    }
    d.host.join(waited);
    return d.sticky;
}

Result drain_all() {
    Driver& d = driver();
    if (const Result result = drain(*d.null_stream)) return result;
    for (const auto& stream : d.streams)
        if (const Result result = drain(*stream)) return result;
    return d.sticky;
}

Result enqueue(void* handle, Work work) {
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (Capture* capture = stream->capture.get()) {
        stream->tail_before = std::exchange(stream->tail, {capture->graph.nodes.size()});
        capture->graph.nodes.push_back({std::move(work), stream->tail_before, stream->branch});
        stream->seen.tick(stream->branch);
        return SUCCESS;
    }
    if (const Result result = drain_before(*stream)) return result;
    Clock clock = stream->clock;
    clock.join(driver().host);
    Item item;
    item.work = std::move(work);
    item.stamp = stamp(chain_of(*stream, 0), std::move(clock));
    const Clock after = item.stamp.clock;
    append(*stream, std::move(item), after);
    return SUCCESS;
}

Result enqueue(Stream& stream, std::shared_ptr<const Graph> graph) {
    if (const Result result = drain_before(stream)) return result;
    Clock begin = stream.clock;
    begin.join(driver().host);
    Item item;
    Clock end = begin;
    // Nodes of one branch come one after the other, so a branch is a chain, and that of the next launch goes on with it.
    for (const Node& node : graph->nodes) {
        Clock clock = begin;
        for (const size_t before : node.after) clock.join(item.stamps[before].clock);
        const uint32_t chain = chain_of(stream, node.branch);
        clock.set(chain, std::max(clock.at(chain), end.at(chain)));
        item.stamps.push_back(stamp(chain, std::move(clock)));
        end.join(item.stamps.back().clock);
    }
    item.graph = std::move(graph);
    append(stream, std::move(item), end);
    return SUCCESS;
}

Result enqueue_wait(Stream& stream, const Event& event) {
    Clock clock = stream.clock;
    clock.join(event.clock);
    Item item;
    item.other = event.stream;
    item.position = event.position;
    append(stream, std::move(item), std::move(clock));
    return SUCCESS;
}

}
