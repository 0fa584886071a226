// A stand-in for the CUDA driver, libcuda.so.1, on top of the host build of the kernels.
//
// It follows the driver's rules where a program could break them unnoticed: work in a stream runs as late as
// possible, when the program waits for it, so that a missing wait reads old bytes; an error of a kernel shows in a
// later call and stays; a call that a capture forbids is refused and invalidates the capture. All work runs during a
// call and on its thread, except large products, which the other libraries share among threads. Work of several streams
// that no event orders runs in an order of choice (order.h), and is a fault if it is in conflict (races.h).
//
// The kernels come from the library that the environment variable SOFTCUDA_KERNELS names: loading any module gives
// these. The other stand-in libraries put their work into the same streams by way of `enqueue`.
#pragma once

#include "../work.h"
#include "clock.h"
#include "races.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// The values of cuda.h's CUresult that are in use here.
enum Result : int {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NOT_INITIALIZED = 3,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    MISALIGNED_ADDRESS = 716,
    LAUNCH_FAILED = 719,
    COOPERATIVE_LAUNCH_TOO_LARGE = 720,
    NOT_SUPPORTED = 801,
    STREAM_CAPTURE_UNSUPPORTED = 900,
    STREAM_CAPTURE_INVALIDATED = 901,
    STREAM_CAPTURE_MERGE = 902,
    STREAM_CAPTURE_ILLEGAL = 903,
    STREAM_CAPTURE_UNJOINED = 904,
    STREAM_CAPTURE_ISOLATION = 905,
    CAPTURED_EVENT = 907,
    STREAM_CAPTURE_WRONG_MODE = 908,
};

namespace standin {

// A graph's pieces of work. A branch is what one stream has given to the capture: its nodes come one after the other.
struct Node {
    Work work;
    std::vector<size_t> after;  // nodes that it waits for, which stand before it
    uint32_t branch;
};
struct Graph {
    std::vector<Node> nodes;
    uint32_t branches = 1;
};

struct Stream;
// A capture, and the streams that take part: the one that began it, which has branch 0, and those that have waited for
// an event of it.
struct Capture {
    Graph graph;
    std::vector<Stream*> streams;  // by branch
    int mode = 0;
    bool spoiled = false;
};

// What has been put into a stream: a piece of work, a launched graph, or a wait for another stream.
struct Item {
    Work work;
    Stamp stamp;
    std::shared_ptr<const Graph> graph;
    std::vector<Stamp> stamps;  // of the graph's nodes
    std::shared_ptr<Stream> other;
    uint64_t position = 0;  // how much of the other stream's work is waited for

    bool is_blocked() const;
};

struct Stream : std::enable_shared_from_this<Stream> {
    uint32_t number = 0;   // in the order of their creation; 0 is the null stream
    bool blocking = true;  // waits for the null stream and the other way round
    std::deque<Item> queue;
    uint64_t enqueued = 0, done = 0;
    Clock clock, clock_before;      // what its next item comes after; the same without its last item
    std::vector<uint32_t> chains;  // of its own work, then of the branches of graphs that are launched in it

    std::shared_ptr<Capture> capture;  // that it takes part in, if any
    uint32_t branch = 0;
    std::vector<size_t> tail, tail_before;  // nodes that its next node comes after
    Clock seen;  // for each branch, how many of its operations its next node comes after
};

struct Event {
    std::shared_ptr<Stream> stream;
    uint64_t position = 0;  // pieces of the stream's work that the event waits for
    Clock clock;
    std::shared_ptr<double> time = std::make_shared<double>(-1.0);  // in milliseconds, when it was reached
    bool captured = false;  // last recorded in a capture, which may have ended since
    std::weak_ptr<Capture> capture;
    std::vector<size_t> tail;
    Clock seen;
};

// The functions of the kernel library (softcuda_api.h).
struct Kernels {
    decltype(&softcuda_open) open;
    decltype(&softcuda_message) message;
    decltype(&softcuda_alloc) alloc;
    decltype(&softcuda_free) free;
    decltype(&softcuda_upload) upload;
    decltype(&softcuda_download) download;
    decltype(&softcuda_fill) fill;
    decltype(&softcuda_check) check;
    decltype(&softcuda_watch) watch;
    decltype(&softcuda_take_accesses) take_accesses;
    decltype(&softcuda_kernel_name) kernel_name;
    decltype(&softcuda_kernel_parameters) kernel_parameters;
    decltype(&softcuda_resident_blocks) resident_blocks;
    decltype(&softcuda_launch) launch;
};

// Which of the streams runs next where no event decides.
enum class Order {
    Needed,  // no stream before the host or another stream waits for it; in a graph the first branch first
    Others,  // all other streams before the one that is waited for; in a graph the last branch first
    Mixed,   // a random one
};

// What a kernel has done in all of its launches.
struct Count {
    uint64_t launches = 0, bytes_read = 0, bytes_written = 0;
};

struct Driver {
    std::recursive_mutex lock;
    Kernels kernels{};
    softcuda_device* device = nullptr;
    std::shared_ptr<Stream> null_stream = std::make_shared<Stream>();
    std::vector<std::shared_ptr<Stream>> streams;
    uint32_t streams_made = 0, chains = 0;
    Clock host;  // what the host has waited for
    Races races;
    Order order = Order::Needed;
    uint64_t random = 0;  // state of the choices of `Order::Mixed`
    std::map<uintptr_t, size_t> allocations, pinned;
    int device_count = 1;                // or none
    size_t memory = 0, memory_used = 0;  // bytes
    uint64_t allocs = 0;                 // calls so far
    uint64_t failing_alloc = 0;          // the first call that finds no memory, whatever there is; 0 for none
    Result sticky = SUCCESS;             // an error of work that ran; every later call reports it
    std::map<std::string, Count> counts;  // by kernel, since the last softcuda_take_counts
    uint64_t launches = 0;               // seeds the order of threads, together with SOFTCUDA_SEED
    uint64_t seed = 0;
    bool idle = false;                   // work is accepted and never done
    int multiprocessors = 1;
    bool cooperative = true;             // whether the device has cooperative launches
};

Driver& driver();
// Entered by every function: takes the lock, and reports errors of earlier work.
struct Call {
    std::lock_guard<std::recursive_mutex> held;
    Driver& d;
    Call() : held(driver().lock), d(driver()) {}
    Result ready() const { return !d.device ? NOT_INITIALIZED : d.sticky; }
};

// Prints a line that begins with "softcuda: " on standard error.
void say(const std::string& text);
// The stream of a handle; null for an invalid handle.
Stream* find_stream(void* handle);
// True if an active capture forbids the caller's operation; the capture is then invalidated.
bool refused_by_capture(const char* what);
// Appends work to a stream, or to the graph that the stream captures.
Result enqueue(void* stream, Work work);
// Appends a graph to a stream.
Result enqueue(Stream& stream, std::shared_ptr<const Graph> graph);
// Appends the wait for an event to a stream.
Result enqueue_wait(Stream& stream, const Event& event);
// Runs a stream's work up to `position`; the host has then waited for it.
Result drain(Stream& stream, uint64_t position, const Clock& clock);
inline Result drain(Stream& stream) { return drain(stream, stream.enqueued, stream.clock); }
Result drain_all();

}
