// Convolution: forward, gradient of the data, gradient of the filters. Descriptors are followed exactly, and calls that
// cuDNN refuses are refused: shapes that do not fit together, a workspace that is too small, 16-bit data that is not
// packed NHWC with channels in multiples of 8, misaligned pointers. With a math type that permits TF32 the factors of
// f32 are rounded to it.
#include "../product.h"
#include "descriptors.h"

#include <atomic>

using namespace cudnn;
using standin::get;
using standin::is_planted;
using standin::may_read;
using standin::may_write;
using standin::multiply;
using standin::put;
using standin::Type;
using standin::View;
using standin::work_in;

namespace {

enum class Direction { Forward, Data, Filter };

// The algorithms of each direction: 0 to 2.
constexpr int algorithms = 3;
// cudnnMathType_t; all but the last permit TF32 for f32.
constexpr int default_math = 0, tensor_op_math = 1, fma_math = 3;

// The math type of an algorithm if the descriptor asks for `asked`. Under the plant "other-math" each algorithm has one
// of its own.
int math_of(int algorithm, int asked) {
    constexpr int own[algorithms] = {tensor_op_math, default_math, fma_math};
    return is_planted("other-math") ? own[algorithm] : asked;
}

bool is_deterministic(Direction direction, int algorithm) { return algorithm != 0 || direction == Direction::Forward; }

Status refuse(Status status, const std::string& what) {
    softcuda_say(("cuDNN convolution: " + what).c_str());
    return status;
}

std::string sizes(const Array& a) {
    return std::to_string(a.size[0]) + " x " + std::to_string(a.size[1]) + " x " + std::to_string(a.size[2]) + " x " +
           std::to_string(a.size[3]);
}

struct Problem {
    Array x, w, y;
    Convolution how;

    int output(int i) const {
        const int reach = how.dilation[i] * (w.size[2 + i] - 1) + 1;
        return (x.size[2 + i] + 2 * how.pad[i] - reach) / how.stride[i] + 1;
    }

    Status check(int algorithm) const {
        if (algorithm < 0 || algorithm >= algorithms)
            return refuse(NOT_SUPPORTED, "algorithm " + std::to_string(algorithm) +
                          " is none of those that were listed");
        if (!x.is_set || !w.is_set || !y.is_set || !how.is_set) return refuse(BAD_PARAM, "a descriptor is not set");
        if (x.type != w.type || x.type != y.type) return refuse(NOT_SUPPORTED, "x, w and y are not of one type");
        const int want[4] = {x.size[0], w.size[0], output(0), output(1)};
        if (w.size[1] != x.size[1] || !std::equal(want, want + 4, y.size))
            return refuse(SHAPE_MISMATCH, "x " + sizes(x) + " and w " + sizes(w) + " do not give y " + sizes(y) +
                          " (N, C, H, W)");
        for (const auto& [array, name] : {std::pair(&x, "x"), std::pair(&w, "w"), std::pair(&y, "y")})
            if (!array->is_injective())
                return refuse(UNSUPPORTED_LAYOUT, std::string("elements of ") + name +
                              " overlap: its strides are wrong");
        if (is_planted("channels-in-fours") && (x.size[1] % 4 || y.size[1] % 4))
            return refuse(NOT_SUPPORTED, "f32 channels must be multiples of 4");
        if (x.type == Type::F32) return OK;
        if (!x.is_packed_nhwc() || !w.is_packed_nhwc() || !y.is_packed_nhwc())
            return refuse(UNSUPPORTED_LAYOUT, "16-bit arrays must be packed NHWC");
        if (x.size[1] % 8 || y.size[1] % 8) return refuse(NOT_SUPPORTED, "16-bit channels must be multiples of 8");
        return OK;
    }

    // As `check`, for a call with one algorithm: the descriptor must have the math type that it is offered with.
    Status check_call(int algorithm) const {
        if (const Status status = check(algorithm)) return status;
        const int math = math_of(algorithm, how.math);
        if (how.math == math) return OK;
        return refuse(NOT_SUPPORTED, "algorithm " + std::to_string(algorithm) + " is offered with math type " +
                      std::to_string(math) + ", and the descriptor has " + std::to_string(how.math));
    }

    // Workspace size of an algorithm; 0 for the first of each kind.
    size_t workspace(int algorithm) const {
        return algorithm == 0 ? 0 : 4 * static_cast<size_t>(w.span()) + 4096 * static_cast<size_t>(algorithm);
    }

    // The rows of a matrix that has a row for each pixel of y, in which the pixels of x lie that the filters see there.
    int patches() const { return y.size[0] * y.size[2] * y.size[3]; }
    int patch() const { return w.size[2] * w.size[3] * w.size[1]; }

    // Calls f(begin in the patches, begin in x) for each run of channels that lies inside of the image.
    template <class F> void each_run(F f) const {
        const auto [N, C, H, W] = x.size;
        size_t to = 0;
        for (int n = 0; n < N; n++)
            for (int p = 0; p < y.size[2]; p++)
                for (int q = 0; q < y.size[3]; q++)
                    for (int r = 0; r < w.size[2]; r++)
                        for (int s = 0; s < w.size[3]; s++, to += static_cast<size_t>(C)) {
                            const int h = p * how.stride[0] + r * how.dilation[0] - how.pad[0];
                            const int v = q * how.stride[1] + s * how.dilation[1] - how.pad[1];
                            if (h < 0 || h >= H || v < 0 || v >= W) continue;
                            f(to, ((static_cast<size_t>(n) * H + h) * W + v) * C);
                        }
    }
};

// An array as f32, in the order N, H, W, C, whatever its strides.
std::vector<float> dense(const Array& a, const void* data) {
    std::vector<float> values(a.count());
    size_t i = 0;
    for (int n = 0; n < a.size[0]; n++)
        for (int h = 0; h < a.size[2]; h++)
            for (int w = 0; w < a.size[3]; w++)
                for (int c = 0; c < a.size[1]; c++) values[i++] = get(a.type, data, a.at(n, c, h, w));
    return values;
}

int write(softcuda_device* device, const Array& a, void* data, const std::vector<float>& values, float alpha,
          float beta,
          const char* what) {
    if (beta != 0.0f)
        if (const int fault = may_read(device, data, a.type, a.span(), what)) return fault;
    if (const int fault = may_write(device, data, a.type, a.span(), what)) return fault;
    size_t i = 0;
    for (int n = 0; n < a.size[0]; n++)
        for (int h = 0; h < a.size[2]; h++)
            for (int w = 0; w < a.size[3]; w++)
                for (int c = 0; c < a.size[1]; c++) {
                    const size_t at = a.at(n, c, h, w);
                    const float old = beta != 0.0f ? beta * get(a.type, data, at) : 0.0f;
                    put(a.type, data, at, alpha * values[i++] + old);
                }
    return 0;
}

// The convolution as one product of matrices; `left` and `right` are the inputs in the order of cuDNN's arguments, and
// `backwards` turns the order of the sums round.
std::vector<float> convolve(const Problem& problem, Direction direction, const std::vector<float>& left,
                            const std::vector<float>& right, bool backwards) {
    const int patches = problem.patches(), patch = problem.patch(), K = problem.w.size[0];
    const auto C = static_cast<size_t>(problem.x.size[1]);
    const auto product = [&](int m, int n, int k, View a, View b) {
        if (backwards) {
            a = {&a.at(0, k - 1), a.row_step, -a.column_step};
            b = {&b.at(k - 1, 0), -b.row_step, b.column_step};
        }
        std::vector<float> c(static_cast<size_t>(m) * n);
        multiply(m, n, k, a, b, c.data());
        return c;
    };
    if (direction == Direction::Data) {
        const std::vector<float> parts = product(patches, patch, K, {right.data(), K, 1}, {left.data(), patch, 1});
        std::vector<float> dx(problem.x.count());
        problem.each_run([&](size_t from, size_t to) {
            for (size_t c = 0; c < C; c++) dx[to + c] += parts[from + c];
        });
        return dx;
    }
    std::vector<float> seen(static_cast<size_t>(patches) * patch);
    problem.each_run([&](size_t to, size_t from) { std::copy_n(&left[from], C, &seen[to]); });
    return direction == Direction::Forward
               ? product(patches, K, patch, {seen.data(), patch, 1}, {right.data(), 1, patch})
                                           : product(K, patch, patches, {right.data(), 1, K}, {seen.data(), patch, 1});
}

Status run(Handle* handle, Direction direction, Problem problem, int algorithm, float alpha, float beta,
           const void* first,
           const void* second, void* result, void* workspace, size_t workspace_bytes) {
    if (!handle) return NOT_INITIALIZED;
    if (is_planted("swapped-stride")) std::swap(problem.y.stride[2], problem.y.stride[3]);
    if (is_planted("lost-accumulate")) beta = 0.0f;
    if (is_planted("small-workspace")) workspace_bytes /= 2;
    if (is_planted("broken-promise") && direction == Direction::Forward && algorithm == 0)
        return refuse(NOT_SUPPORTED, "algorithm 0 is offered and not done");
    if (is_planted("refused-accumulate") && beta != 0.0f && algorithm < algorithms - 1)
        return refuse(NOT_SUPPORTED, "algorithm " + std::to_string(algorithm) + " does not add to the result");
    if (const Status status = problem.check_call(algorithm)) return status;
    const size_t need = problem.workspace(algorithm);
    if (workspace_bytes < need || (need && !workspace))
        return refuse(SIZE_INSUFFICIENT, "the workspace of " + std::to_string(workspace ? workspace_bytes : 0) +
                                             " bytes is less than the " + std::to_string(need) +
                                             " that the algorithm needs");
    const unsigned alignment = problem.x.type == Type::BF16 ? 16 : 4;
    for (const void* pointer : {first, second, static_cast<const void*>(result)})
        if (reinterpret_cast<uintptr_t>(pointer) % alignment)
            return refuse(MISALIGNED, "an array does not begin at a multiple of " + std::to_string(alignment) +
                          " bytes");
    if (is_planted("failed-execution") && algorithm < algorithms - 1)
        return refuse(EXECUTION_FAILED, "algorithm " + std::to_string(algorithm) +
                      " is offered and fails when it runs");
    standin::Work work = [=](softcuda_device* device) {
        const auto& [x, w, y, how] = problem;
        const Array& a = direction == Direction::Data ? w : x;
        const Array& b = direction == Direction::Forward ? w : y;
        const Array& to = direction == Direction::Forward ? y : direction == Direction::Data ? x : w;
        if (const int fault = work_in(device, workspace, need, "cuDNN convolution: workspace")) return fault;
        if (const int fault = may_read(device, first, a.type, a.span(), "cuDNN convolution: first input")) return fault;
        if (const int fault = may_read(device, second, b.type, b.span(),
                                       "cuDNN convolution: second input")) return fault;
        static std::atomic<unsigned> runs = 0;
        const bool backwards = is_deterministic(direction, algorithm) ? algorithm == algorithms - 1 : runs++ % 2;
        std::vector<float> left = dense(a, first), right = dense(b, second);
        if (x.type == Type::F32 && how.math != fma_math)
            for (std::vector<float>* factor : {&left, &right})
                for (float& value : *factor) value = standin::to_tf32(value);
        const std::vector<float> sums = convolve(problem, direction, left, right, backwards);
        return write(device, to, result, sums, alpha, beta, "cuDNN convolution: result");
    };
    return softcuda_enqueue(handle->stream, &work) ? EXECUTION_FAILED : OK;
}

float number(const void* value) { return *static_cast<const float*>(value); }

// cudnnConvolution{Fwd,BwdData,BwdFilter}AlgoPerf_t, which are alike.
struct Performance {
    int algorithm, status;
    float time;
    size_t memory;
    int determinism, math;
    int reserved[3];
};

// Algorithm 0 of both gradients is not deterministic (cuDNN's manual): it turns round the order of its sums from run to
// run, and comes first here so that it is not taken unread. The last algorithm always sums in the other order, so that
// the bits of a result show which one was taken.
Status list(const Problem& problem, Direction direction, int requested, int* returned, Performance* results) {
    if (const Status status = problem.check(0)) return status;
    *returned = std::min(requested, algorithms);
    for (int i = 0; i < *returned; i++) {
        const bool deterministic = is_deterministic(direction, i);
        const int math = math_of(i, problem.how.math);
        results[i] = {i, OK, 1.0f + static_cast<float>(i), problem.workspace(i), deterministic, math, {}};
    }
    return OK;
}

}

STANDIN_API Status cudnnGetConvolutionForwardAlgorithm_v7(Handle*, const Array* x, const Array* w,
                                                          const Convolution* how, const Array* y,
                                                          int requested, int* returned, Performance* results) {
    ANSWER_PLANTED(Status);
    return list({*x, *w, *y, *how}, Direction::Forward, requested, returned, results);
}
STANDIN_API Status cudnnGetConvolutionBackwardDataAlgorithm_v7(Handle*, const Array* w, const Array* dy,
                                                               const Convolution* how,
                                                               const Array* dx, int requested, int* returned,
                                                               Performance* results) {
    ANSWER_PLANTED(Status);
    return list({*dx, *w, *dy, *how}, Direction::Data, requested, returned, results);
}
STANDIN_API Status cudnnGetConvolutionBackwardFilterAlgorithm_v7(Handle*, const Array* x, const Array* dy,
                                                                 const Convolution* how,
                                                                 const Array* dw, int requested, int* returned,
                                                                 Performance* results) {
    ANSWER_PLANTED(Status);
    return list({*x, *dw, *dy, *how}, Direction::Filter, requested, returned, results);
}

STANDIN_API Status cudnnGetConvolutionForwardWorkspaceSize(Handle*, const Array* x, const Array* w,
                                                           const Convolution* how,
                                                           const Array* y, int algorithm, size_t* bytes) {
    ANSWER_PLANTED(Status);
    const Problem problem{*x, *w, *y, *how};
    *bytes = problem.workspace(algorithm);
    return problem.check_call(algorithm);
}
STANDIN_API Status cudnnGetConvolutionBackwardDataWorkspaceSize(Handle*, const Array* w, const Array* dy,
                                                                const Convolution* how,
                                                                const Array* dx, int algorithm, size_t* bytes) {
    ANSWER_PLANTED(Status);
    const Problem problem{*dx, *w, *dy, *how};
    *bytes = problem.workspace(algorithm);
    return problem.check_call(algorithm);
}
STANDIN_API Status cudnnGetConvolutionBackwardFilterWorkspaceSize(Handle*, const Array* x, const Array* dy,
                                                                  const Convolution* how,
                                                                  const Array* dw, int algorithm, size_t* bytes) {
    ANSWER_PLANTED(Status);
    const Problem problem{*x, *dw, *dy, *how};
    *bytes = problem.workspace(algorithm);
    return problem.check_call(algorithm);
}

STANDIN_API Status cudnnConvolutionForward(Handle* handle, const void* alpha, const Array* x_is, const void* x,
                                           const Array* w_is,
                                           const void* w, const Convolution* how, int algorithm, void* workspace,
                                           size_t workspace_bytes, const void* beta, const Array* y_is, void* y) {
    ANSWER_PLANTED(Status);
    return run(handle, Direction::Forward, {*x_is, *w_is, *y_is, *how}, algorithm, number(alpha), number(beta), x, w,
               y, workspace,
               workspace_bytes);
}
STANDIN_API Status cudnnConvolutionBackwardData(Handle* handle, const void* alpha, const Array* w_is, const void* w,
                                                const Array* dy_is,
                                                const void* dy, const Convolution* how, int algorithm, void* workspace,
                                                size_t workspace_bytes, const void* beta, const Array* dx_is,
                                                void* dx) {
    ANSWER_PLANTED(Status);
    return run(handle, Direction::Data, {*dx_is, *w_is, *dy_is, *how}, algorithm, number(alpha), number(beta), w, dy,
               dx, workspace,
               workspace_bytes);
}
STANDIN_API Status cudnnConvolutionBackwardFilter(Handle* handle, const void* alpha, const Array* x_is, const void* x,
                                                  const Array* dy_is,
                                                  const void* dy, const Convolution* how, int algorithm,
                                                  void* workspace,
                                                  size_t workspace_bytes, const void* beta, const Array* dw_is,
                                                  void* dw) {
    ANSWER_PLANTED(Status);
    return run(handle, Direction::Filter, {*x_is, *dw_is, *dy_is, *how}, algorithm, number(alpha), number(beta), x,
               dy, dw, workspace,
               workspace_bytes);
}
