// Capture of a stream's work as a graph, and its replay.
#include "driver.h"

using namespace standin;

namespace standin {

bool refused_by_capture(const char* what) {
    Driver& d = driver();
    bool refused = false;
    for (const auto& stream : d.streams) {
        constexpr int relaxed = 2;
        if (!stream->capture || stream->capture_mode == relaxed) continue;
        stream->capture_spoiled = refused = true;
    }
    if (refused) say(std::string(what) + " is not permitted while a stream is captured");
    return refused;
}

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
    stream->capture = std::make_unique<Graph>();
    stream->capture_mode = mode;
    stream->capture_spoiled = false;
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
    std::unique_ptr<Graph> captured = std::move(stream->capture);
    if (stream->capture_spoiled || is_planted("refused-capture")) return STREAM_CAPTURE_INVALIDATED;
    *graph = captured.release();
    return SUCCESS;
}

STANDIN_API Result cuStreamIsCapturing(void* handle, int* status) {
    ANSWER_PLANTED(Result);
    Call call;
    const Stream* stream = find_stream(handle);
    if (!stream) return INVALID_HANDLE;
    *status = !stream->capture ? 0 : stream->capture_spoiled ? 2 : 1;
    return SUCCESS;
}

// An executable graph is a copy: what happens to the graph later does not change it.
STANDIN_API Result cuGraphInstantiateWithFlags(Graph** executable, const Graph* graph, unsigned long long) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    *executable = new Graph(*graph);
    return SUCCESS;
}

STANDIN_API Result cuGraphLaunch(const Graph* executable, void* stream) {
    ANSWER_PLANTED(Result);
    Call call;
    if (const Result result = call.ready()) return result;
    for (const Work& node : executable->nodes)
        if (const Result result = enqueue(stream, node)) return result;
    return SUCCESS;
}

STANDIN_API Result cuGraphUpload(const Graph*, void* stream) {
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

STANDIN_API Result cuGraphExecDestroy(Graph* executable) {
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
