// Capture of a stream's work as a graph, and its replay.
#include "driver.h"

using namespace standin;

namespace standin {

bool refused_by_capture(const char* what) {
    Driver& d = driver();
    bool refused = false;
    for (const auto& stream : d.streams) {
        constexpr int relaxed = 2;
        if (!stream->capture || stream->capture->mode == relaxed) continue;
        stream->capture->spoiled = refused = true;
    }
    if (refused) say(std::string(what) + " is not permitted while a stream is captured");
    return refused;
}

}

namespace {

struct Executable {
    std::shared_ptr<const Graph> graph;
};

}

STANDIN_API Result cuStreamBeginCapture_v2(void* handle, int mode) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (!handle) {
        say("the null stream cannot be captured");
        return STREAM_CAPTURE_UNSUPPORTED;
    }
    if (stream->capture || mode < 0 || mode > 2) return INVALID_VALUE;
    stream->capture = std::make_shared<Capture>();
    stream->capture->mode = mode;
    stream->capture->streams = {stream};
    stream->branch = 0;
    stream->tail.clear();
    stream->tail_before.clear();
    stream->seen = {};
    return SUCCESS;
}

STANDIN_API Result cuStreamEndCapture(void* handle, Graph** graph) {
    ANSWER_PLANTED(Result);
    Call call;
    *graph = nullptr;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (!stream->capture) return STREAM_CAPTURE_ILLEGAL;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture->streams[0] != stream) {
        say("cuStreamEndCapture: another stream has begun the capture");
        capture->spoiled = true;
        return STREAM_CAPTURE_ILLEGAL;
    }
    bool is_joined = true;
    for (const Stream* other : capture->streams)
        is_joined = is_joined && stream->seen.at(other->branch) == other->seen.at(other->branch);
    for (Stream* other : capture->streams) other->capture = nullptr;
    if (capture->spoiled || is_planted("refused-capture")) return STREAM_CAPTURE_INVALIDATED;
    if (!is_joined) {
        say("cuStreamEndCapture: a stream has work in the capture that the first stream has not waited for");
        return STREAM_CAPTURE_UNJOINED;
    }
    *graph = new Graph(std::move(capture->graph));
    return SUCCESS;
}

STANDIN_API Result cuStreamIsCapturing(void* handle, int* status) {
    ANSWER_PLANTED(Result);
    Call call;
    const Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    *status = !stream->capture ? 0 : stream->capture->spoiled ? 2 : 1;
    return SUCCESS;
}

// An executable graph is a copy: what happens to the graph later does not change it. Launches of it share the copy.
STANDIN_API Result cuGraphInstantiateWithFlags(Executable** executable, const Graph* graph, unsigned long long) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *executable = new Executable{std::make_shared<const Graph>(*graph)};
    return SUCCESS;
}

STANDIN_API Result cuGraphLaunch(const Executable* executable, void* handle) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    if (stream->capture) {
        say("cuGraphLaunch in a capture is not supported");
        stream->capture->spoiled = true;
        return NOT_SUPPORTED;
    }
    return enqueue(*stream, executable->graph);
}

STANDIN_API Result cuGraphUpload(const Executable*, void* stream) {
    ANSWER_PLANTED(Result);
    return find_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

// Number of nodes; the list of nodes is not supported.
STANDIN_API Result cuGraphGetNodes(const Graph* graph, void** nodes, size_t* count) {
    ANSWER_PLANTED(Result);
    if (nodes) return NOT_SUPPORTED;
    *count = graph->nodes.size();
    return SUCCESS;
}

STANDIN_API Result cuGraphExecDestroy(Executable* executable) {
    ANSWER_PLANTED(Result);
    Call call;
    delete executable;
    return SUCCESS;
}

STANDIN_API Result cuGraphDestroy(Graph* graph) {
    ANSWER_PLANTED(Result);
    Call call;
    delete graph;
    return SUCCESS;
}
