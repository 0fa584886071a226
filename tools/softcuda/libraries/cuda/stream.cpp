// Streams and events: queues of work that run when the program waits.
#include "driver.h"

#include <algorithm>
#include <chrono>

using namespace standin;

namespace standin {

Stream* find_stream(void* handle) {
    Driver& d = driver();
    if (!handle) return &d.null_stream;
    for (const auto& stream : d.streams)
        if (stream.get() == handle) return stream.get();
    return nullptr;
}

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

// The null stream and the blocking streams wait for each other.
Result drain_before(Stream& stream) {
    Driver& d = driver();
    if (&stream == &d.null_stream) {
        for (const auto& other : d.streams)
            if (other->blocking)
                if (const Result result = drain(*other, other->enqueued)) return result;
    } else if (stream.blocking) {
        return drain(d.null_stream, d.null_stream.enqueued);
    }
    return SUCCESS;
}

}

Result drain(Stream& stream, uint64_t position) {
    Driver& d = driver();
    while (stream.done < position && !d.sticky) {
        Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        ++stream.done;
        if (const int fault = work(d.device)) {
            say(d.kernels.message(d.device));
            d.sticky = result_of(fault);
        }
    }
    return d.sticky;
}

Result drain_all() {
    Driver& d = driver();
    if (const Result result = drain(d.null_stream, d.null_stream.enqueued)) return result;
    for (const auto& stream : d.streams)
        if (const Result result = drain(*stream, stream->enqueued)) return result;
    return d.sticky;
}

Result enqueue(void* handle, Work work) {
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) {
        stream->capture->nodes.push_back(std::move(work));
        return SUCCESS;
    }
    if (const Result result = drain_before(*stream)) return result;
    stream->queue.push_back(std::move(work));
    ++stream->enqueued;
    return SUCCESS;
}

}

int softcuda_enqueue(void* stream, Work* work) {
    Call call;
    if (const Result result = call.ready()) return result;
    return enqueue(stream, std::move(*work));
}

bool softcuda_stream_exists(void* stream) {
    Call call;
    return find_stream(stream) != nullptr;
}

STANDIN_API Result cuStreamCreate(void** stream, unsigned flags) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (flags > 1) return INVALID_VALUE;
    auto made = std::make_unique<Stream>();
    made->blocking = flags == 0;
    *stream = made.get();
    call.d.streams.push_back(std::move(made));
    return SUCCESS;
}

STANDIN_API Result cuStreamDestroy_v2(void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    Stream* stream = find_stream(handle);
    if (!handle || !stream) return INVALID_HANDLE;
    const Result drained = drain(*stream, stream->enqueued);
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
    return drain(*stream, stream->enqueued);
}

STANDIN_API Result cuStreamQuery(void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    const Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    return stream->done == stream->enqueued ? SUCCESS : NOT_READY;
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

STANDIN_API Result cuEventRecord(Event* event, void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) {
        say("cuEventRecord in a capture is not supported");
        stream->capture_spoiled = true;
        return NOT_SUPPORTED;
    }
    event->time = std::make_shared<double>(-1.0);
    const Result result = enqueue(handle, [time = event->time](softcuda_device*) {
        using namespace std::chrono;
        *time = duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
        return SOFTCUDA_OK;
    });
    event->stream = stream;
    event->position = stream->enqueued;
    return result;
}

STANDIN_API Result cuEventSynchronize(Event* event) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    if (refused_by_capture("cuEventSynchronize")) return STREAM_CAPTURE_UNSUPPORTED;
    if (is_planted("missing-wait")) return SUCCESS;
    return event->stream ? drain(*event->stream, event->position) : SUCCESS;
}

STANDIN_API Result cuEventQuery(Event* event) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    return !event->stream || event->stream->done >= event->position ? SUCCESS : NOT_READY;
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

STANDIN_API Result cuStreamWaitEvent(void* handle, Event* event, unsigned) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    const Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) {
        say("cuStreamWaitEvent in a capture is not supported");
        return NOT_SUPPORTED;
    }
    if (!event->stream) return SUCCESS;
    return enqueue(handle, [other = event->stream, position = event->position](softcuda_device*) {
        drain(*other, position);
        return SOFTCUDA_OK;
    });
}
