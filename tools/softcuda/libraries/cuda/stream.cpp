// Streams and events.
#include "driver.h"

#include <algorithm>
#include <chrono>

using namespace standin;

namespace standin {

Stream* find_stream(void* handle) {
    Driver& d = driver();
    if (!handle) return d.null_stream.get();
    for (const auto& stream : d.streams)
        if (stream.get() == handle) return stream.get();
    return nullptr;
}

}

int softcuda_enqueue(void* stream, Work* work) {
    Call call;
    if (const Result result = call.ready()) return result;
    if (call.d.idle) *work = [](softcuda_device*) { return SOFTCUDA_OK; };
    return enqueue(stream, std::move(*work));
}

bool softcuda_stream_exists(void* stream) {
    Call call;
    return find_stream(stream) != nullptr;
}

// The priorities of streams, as on chips since compute capability 6.0: 0 is the least.
constexpr int LEAST_PRIORITY = 0, GREATEST_PRIORITY = -5;

STANDIN_API Result cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *least = LEAST_PRIORITY;
    *greatest = GREATEST_PRIORITY;
    return SUCCESS;
}

// A priority outside of the range is moved to its end, as the manual says. The order in which the work of several streams
// is run does not follow it: it is a hint, on which no program may rely.
STANDIN_API Result cuStreamCreateWithPriority(void** stream, unsigned flags, int) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (flags > 1) return INVALID_VALUE;
    auto made = std::make_shared<Stream>();
    made->blocking = flags == 0;
    made->number = ++call.d.streams_made;
    *stream = made.get();
    call.d.streams.push_back(std::move(made));
    return SUCCESS;
}

STANDIN_API Result cuStreamCreate(void** stream, unsigned flags) {
    ANSWER_PLANTED(Result);
    return cuStreamCreateWithPriority(stream, flags, LEAST_PRIORITY);
}

STANDIN_API Result cuStreamDestroy_v2(void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    Stream* stream = find_stream(handle);
    if (!handle || !stream) return INVALID_HANDLE;
    if (const std::shared_ptr<Capture> capture = stream->capture) {
        say("cuStreamDestroy: the stream takes part in a capture");
        for (Stream* other : capture->streams) other->capture = nullptr;
    }
    const Result drained = drain(*stream);
    std::erase_if(call.d.streams, [=](const auto& one) { return one.get() == stream; });
    return drained;
}

STANDIN_API Result cuStreamSynchronize(void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (refused_by_capture("cuStreamSynchronize")) return STREAM_CAPTURE_UNSUPPORTED;
    return drain(*stream);
}

STANDIN_API Result cuStreamQuery(void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    const Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->done < stream->enqueued) return NOT_READY;
    call.d.host.join(stream->clock);
    return SUCCESS;
}

STANDIN_API Result cuEventCreate(Event** event, unsigned) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *event = new Event;
    return SUCCESS;
}

STANDIN_API Result cuEventDestroy_v2(Event* event) {
    ANSWER_PLANTED(Result);
    Call call;
    delete event;
    return SUCCESS;
}

namespace {

Work taking_time(std::shared_ptr<double> time) {
    return [time = std::move(time)](softcuda_device*) {
        using namespace std::chrono;
        *time = duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
        return SOFTCUDA_OK;
    };
}

}

// In a capture no node: only what its stream's next node comes after.
STANDIN_API Result cuEventRecord(Event* event, void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    event->stream = stream->shared_from_this();
    event->captured = stream->capture != nullptr;
    event->capture = stream->capture;
    // The plant records events of all streams but the first one piece of work too early.
    const bool is_early = stream->number > 1 && is_planted("early-event");
    if (stream->capture) {
        event->tail = is_early ? stream->tail_before : stream->tail;
        event->seen = stream->seen;
        return SUCCESS;
    }
    event->clock = is_early ? stream->clock_before : stream->clock;
    event->position = stream->enqueued - (is_early && stream->enqueued ? 1 : 0);
    event->time = std::make_shared<double>(-1.0);
    const Result result = enqueue(handle, taking_time(event->time));
    if (is_early) return result;
    event->clock = stream->clock;
    event->position = stream->enqueued;
    return result;
}

// With the flag CU_EVENT_RECORD_EXTERNAL, which is permitted in a capture alone: a node, which records the event in each
// replay. The event orders no other stream and no wait of the host here: it has a time.
STANDIN_API Result cuEventRecordWithFlags(Event* event, void* handle, unsigned flags) {
    ANSWER_PLANTED(Result);
    constexpr unsigned external = 1;
    if (flags == 0) return cuEventRecord(event, handle);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (flags != external) return INVALID_VALUE;
    if (!stream->capture) {
        say("cuEventRecordWithFlags: CU_EVENT_RECORD_EXTERNAL is invalid in a stream that is not captured");
        return INVALID_VALUE;
    }
    *event = Event{};
    event->stream = stream->shared_from_this();
    return enqueue(handle, taking_time(event->time));
}

STANDIN_API Result cuEventSynchronize(Event* event) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (refused_by_capture("cuEventSynchronize")) return STREAM_CAPTURE_UNSUPPORTED;
    if (event->captured) return CAPTURED_EVENT;
    if (is_planted("missing-wait")) return SUCCESS;
    return event->stream ? drain(*event->stream, event->position, event->clock) : SUCCESS;
}

STANDIN_API Result cuEventQuery(Event* event) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (event->captured) return CAPTURED_EVENT;
    if (event->stream && event->stream->done < event->position) return NOT_READY;
    call.d.host.join(event->clock);
    return SUCCESS;
}

STANDIN_API Result cuEventElapsedTime_v2(float* milliseconds, const Event* begin, const Event* end) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (!begin->stream || !end->stream) return INVALID_HANDLE;
    if (*begin->time < 0.0 || *end->time < 0.0) return NOT_READY;
    *milliseconds = static_cast<float>(*end->time - *begin->time);
    return SUCCESS;
}

// The name by which programs that were built before CUDA 12.8 know it.
STANDIN_API Result cuEventElapsedTime(float* milliseconds, const Event* begin, const Event* end) {
    ANSWER_PLANTED(Result);
    return cuEventElapsedTime_v2(milliseconds, begin, end);
}

namespace {

// An event that a stream waits for in vain: "missing-fork" leaves out the waits of a stream for one that was made before
// it, "missing-join" the others; with "graph-" in front only in captures.
bool is_left_out(const Stream& waiting, const Event& event) {
    const bool is_fork = waiting.number > event.stream->number;
    if (event.captured && is_planted(is_fork ? "graph-missing-fork" : "graph-missing-join")) return true;
    return is_planted(is_fork ? "missing-fork" : "missing-join");
}

// A stream that waits for an event of a capture takes part in it from then on.
Result wait_in_capture(Stream& stream, const Event& event) {
    const std::shared_ptr<Capture> of_event = event.capture.lock();
    if (stream.capture && of_event != stream.capture) {
        say(event.captured ? "cuStreamWaitEvent in a capture: the event is one of another capture"
                           : "cuStreamWaitEvent in a capture: the event was recorded before the capture");
        stream.capture->spoiled = true;
        if (of_event) of_event->spoiled = true;
        return of_event ? STREAM_CAPTURE_MERGE : STREAM_CAPTURE_ISOLATION;
    }
    if (!of_event) {
        say("cuStreamWaitEvent: the event was recorded in a capture that has ended");
        return CAPTURED_EVENT;
    }
    const bool is_new = !stream.capture;
    if (is_new) {
        stream.capture = of_event;
        stream.branch = static_cast<uint32_t>(of_event->streams.size());
        of_event->streams.push_back(&stream);
        of_event->graph.branches = stream.branch + 1;
        stream.tail.clear();
        stream.tail_before.clear();
        stream.seen = {};
    }
    stream.seen.join(event.seen);
    if (is_new) stream.seen.tick(stream.branch);  // a branch that is joined again, even without a node
    if (is_left_out(stream, event)) return SUCCESS;
    for (const size_t node : event.tail)
        if (std::find(stream.tail.begin(), stream.tail.end(), node) == stream.tail.end()) stream.tail.push_back(node);
    return SUCCESS;
}

}

STANDIN_API Result cuStreamWaitEvent(void* handle, Event* event, unsigned flags) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (flags) return INVALID_VALUE;
    if (!event->stream) return SUCCESS;  // never recorded
    if (stream->capture || event->captured) return wait_in_capture(*stream, *event);
    return is_left_out(*stream, *event) ? SUCCESS : enqueue_wait(*stream, *event);
}
