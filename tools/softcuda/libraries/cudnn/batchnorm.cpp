// Batch normalisation: training, its gradients, inference. Calls that cuDNN's reference refuses are refused:
// descriptors that do not fit together, parameters that are not f32, one of two pointers null, small spaces, misaligned
// pointers. So is what it does not permit: arrays that overlap, operations with an activation (CUDNN_DATA_HALF only).
// The reserve space holds a fingerprint of x, by which the backward pass knows the x of the forward pass.
#include "descriptors.h"

#include <cmath>
#include <vector>

using namespace cudnn;
using standin::bytes_of;
using standin::get;
using standin::is_planted;
using standin::may_read;
using standin::may_write;
using standin::put;
using standin::Type;

namespace {

// cudnnBatchNormMode_t and cudnnBatchNormOps_t.
constexpr int per_activation = 0, spatial = 1, persistent = 2;
constexpr int normalisation_alone = 0;

Status refuse(Status status, const std::string& what) {
    softcuda_say(("cuDNN batch normalisation: " + what).c_str());
    return status;
}

// An array of a call: what it is called, its address and bytes, and whether the call writes it.
struct Use {
    const char* name;
    const void* at;
    size_t bytes;
    unsigned alignment;
    bool is_written;
};

struct Problem {
    Array x, parameters;
    int mode;

    size_t channels() const { return static_cast<size_t>(x.size[1]); }
    size_t rows() const { return x.count() / channels(); }
    bool is_persistent() const { return mode == persistent; }

    // Sizes of the spaces of the persistent mode; the plain one needs none.
    size_t workspace(bool forward) const { return is_persistent() ? channels() * (forward ? 8 : 12) + 4096 : 0; }
    size_t reserve() const { return is_persistent() ? channels() * 4 + 64 : 0; }

    Use data(const char* name, const void* at, bool is_written) const {
        return {name, at, x.span() * bytes_of(x.type), x.type == Type::BF16 ? 16u : 4u, is_written};
    }
    Use parameter(const char* name, const void* at, bool is_written) const {
        return {name, at, channels() * 4, 4u, is_written};
    }

    Status check(int ops) const {
        if (mode < per_activation || mode > persistent) return refuse(BAD_PARAM, "mode " + std::to_string(mode));
        if (mode == per_activation) return refuse(NOT_SUPPORTED, "statistics for each activation");
        if (ops != normalisation_alone)
            return refuse(NOT_SUPPORTED,
                          "an activation behind the normalisation is supported for 16-bit IEEE floats only");
        if (!x.is_set || !parameters.is_set) return refuse(BAD_PARAM, "a descriptor is not set");
        const int want[4] = {1, x.size[1], 1, 1};
        if (!std::equal(want, want + 4, parameters.size))
            return refuse(SHAPE_MISMATCH, "the parameters must have the sizes 1 x C x 1 x 1 of the derived descriptor");
        if (parameters.type != Type::F32) return refuse(BAD_PARAM, "the parameters must be f32, also for 16-bit data");
        if (!x.is_injective()) return refuse(UNSUPPORTED_LAYOUT, "elements of x overlap: its strides are wrong");
        if ((x.type != Type::F32 || is_persistent()) && !x.is_packed_nhwc())
            return refuse(UNSUPPORTED_LAYOUT, "16-bit arrays and those of the persistent mode must be packed NHWC");
        return OK;
    }

    // The other descriptors of x's sizes: y, dy, dx.
    Status check_like_x(const Array* other, const char* name) const {
        if (!other || !other->is_set)
            return refuse(BAD_PARAM, std::string("the descriptor of ") + name + " is not set");
        const bool same = other->type == x.type && std::equal(x.size, x.size + 4, other->size) &&
                          std::equal(x.stride, x.stride + 4, other->stride);
        return same ? OK : refuse(SHAPE_MISMATCH, std::string(name) + " must have type, sizes and strides of x");
    }
};

// Null pointers, alignment, overlap. A space of no bytes may be null.
Status check_uses(const std::vector<Use>& uses) {
    for (const Use& use : uses) {
        if (!use.at) return refuse(BAD_PARAM, std::string(use.name) + " is null");
        if (reinterpret_cast<uintptr_t>(use.at) % use.alignment)
            return refuse(MISALIGNED, std::string(use.name) + " does not begin at a multiple of " +
                                          std::to_string(use.alignment) + " bytes");
    }
    for (const Use& a : uses)
        for (const Use& b : uses) {
            const auto [first, second] = std::pair(static_cast<const char*>(a.at), static_cast<const char*>(b.at));
            if (&a != &b && a.is_written && first < second + b.bytes && second < first + a.bytes)
                return refuse(BAD_PARAM, std::string(a.name) + ", which is written, overlaps " + b.name);
        }
    return OK;
}

Status check_space(const char* name, const void* at, size_t bytes, size_t need) {
    if (at && bytes >= need) return OK;
    return refuse(SIZE_INSUFFICIENT, std::string("the ") + name + " of " + std::to_string(at ? bytes : 0) +
                                         " bytes is less than the " + std::to_string(need) + " that the mode needs");
}

Status check_numbers(const void* const* factors, size_t count, double epsilon) {
    for (size_t i = 0; i < count; i++)
        if (!factors[i]) return refuse(BAD_PARAM, "a scaling factor is null");
    constexpr double least_epsilon = 0.0;  // CUDNN_BN_MIN_EPSILON
    return epsilon >= least_epsilon ? OK : refuse(BAD_PARAM, "epsilon is below CUDNN_BN_MIN_EPSILON");
}

int may(softcuda_device* device, const Use& use) {
    const std::string what = std::string("cuDNN batch normalisation: ") + use.name;
    return softcuda_device_check(device, use.at, use.bytes, use.is_written ? SOFTCUDA_WRITE : SOFTCUDA_READ,
                                 what.c_str());
}

// Checks the reads first: afterwards the written arrays count as written.
int may_all(softcuda_device* device, const std::vector<Use>& uses) {
    for (const bool written : {false, true})
        for (const Use& use : uses)
            if (use.is_written == written)
                if (const int fault = may(device, use)) return fault;
    return 0;
}

// Calls f(index of the element, channel) for all elements, channels innermost.
template <class F> void each(const Array& x, F f) {
    for (int n = 0; n < x.size[0]; n++)
        for (int h = 0; h < x.size[2]; h++)
            for (int w = 0; w < x.size[3]; w++)
                for (int c = 0; c < x.size[1]; c++) f(x.at(n, c, h, w), static_cast<size_t>(c));
}

float blend(float alpha, double value, float beta, const void* old, Type type, size_t at) {
    return alpha * static_cast<float>(value) + (beta != 0.0f ? beta * get(type, old, at) : 0.0f);
}

// FNV-1a of the bytes of x.
uint64_t fingerprint(const Problem& problem, const void* x) {
    uint64_t hash = 0xcbf29ce484222325u;
    const auto* bytes = static_cast<const unsigned char*>(x);
    for (size_t i = 0; i < problem.x.span() * bytes_of(problem.x.type); i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

// Mean and 1 / sqrt(variance + epsilon) of each channel, and the variance with n - 1 in the denominator. The plain mode
// rounds the last step to f32 earlier, so that the bits of a result show the mode.
struct Moments {
    std::vector<double> mean, variance, inverse, unbiased;
};

Moments moments(const Problem& problem, const void* x, double epsilon) {
    const size_t C = problem.channels();
    const auto m = static_cast<double>(problem.rows());
    Moments of{std::vector<double>(C), std::vector<double>(C), std::vector<double>(C), std::vector<double>(C)};
    each(problem.x, [&](size_t at, size_t c) { of.mean[c] += get(problem.x.type, x, at); });
    for (double& mean : of.mean) mean /= m;
    each(problem.x, [&](size_t at, size_t c) {
        const double distance = get(problem.x.type, x, at) - of.mean[c];
        of.variance[c] += distance * distance;
    });
    for (size_t c = 0; c < C; c++) {
        of.unbiased[c] = of.variance[c] / (m - 1.0);
        of.variance[c] /= m;
        of.inverse[c] = problem.is_persistent()
                            ? 1.0 / std::sqrt(of.variance[c] + epsilon)
                            : 1.0f / std::sqrt(static_cast<float>(of.variance[c]) + static_cast<float>(epsilon));
    }
    return of;
}

float number(const void* value) { return *static_cast<const float*>(value); }

int work_in_space(softcuda_device* device, void* workspace, size_t bytes) {
    return standin::work_in(device, workspace, bytes, "cuDNN batch normalisation: workspace");
}

// Sizes are offered unless the mode is refused as a whole.
Status offer(const Problem& problem, int ops, size_t bytes, size_t* to) {
    if (const Status status = problem.check(ops)) return status;
    if (is_planted("no-persistent") && problem.is_persistent())
        return refuse(NOT_SUPPORTED, "the persistent mode is not offered");
    if (!to) return refuse(BAD_PARAM, "the place for the size is null");
    *to = bytes;
    return OK;
}

Status refuse_planted(const Problem& problem, bool forward) {
    const bool planted = is_planted("refused-persistent") || (!forward && is_planted("refused-persistent-gradient"));
    if (planted && problem.is_persistent())
        return refuse(NOT_SUPPORTED, "the persistent mode is offered and not done");
    return OK;
}

}

STANDIN_API Status cudnnDeriveBNTensorDescriptor(Array* derived, const Array* x, int mode) {
    ANSWER_PLANTED(Status);
    if (!derived || !x || !x->is_set || mode < per_activation || mode > persistent)
        return refuse(BAD_PARAM, "no descriptor can be derived");
    const int C = x->size[1];
    if (mode == per_activation) {
        *derived = *x;
        derived->size[0] = 1;
    } else {
        *derived = {Type::F32, {1, C, 1, 1}, {C, 1, 1, 1}, true};
    }
    derived->type = Type::F32;
    return OK;
}

STANDIN_API Status cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(Handle* handle, int mode, int ops,
                                                                            const Array* x, const Array*,
                                                                            const Array* y, const Array* parameters,
                                                                            const void*, size_t* bytes) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    if (!x || !parameters) return refuse(BAD_PARAM, "a descriptor is null");
    const Problem problem{*x, *parameters, mode};
    if (const Status status = problem.check_like_x(y, "y")) return status;
    return offer(problem, ops, problem.workspace(true), bytes);
}

STANDIN_API Status cudnnGetBatchNormalizationBackwardExWorkspaceSize(Handle* handle, int mode, int ops, const Array* x,
                                                                     const Array*, const Array* dy, const Array*,
                                                                     const Array* dx, const Array* parameters,
                                                                     const void*, size_t* bytes) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    if (!x || !parameters) return refuse(BAD_PARAM, "a descriptor is null");
    const Problem problem{*x, *parameters, mode};
    for (const auto& [other, name] : {std::pair(dy, "dy"), std::pair(dx, "dx")})
        if (const Status status = problem.check_like_x(other, name)) return status;
    return offer(problem, ops, problem.workspace(false), bytes);
}

STANDIN_API Status cudnnGetBatchNormalizationTrainingExReserveSpaceSize(Handle* handle, int mode, int ops, const void*,
                                                                        const Array* x, size_t* bytes) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    if (!x) return refuse(BAD_PARAM, "a descriptor is null");
    Array parameters;
    if (const Status status = cudnnDeriveBNTensorDescriptor(&parameters, x, mode)) return status;
    const Problem problem{*x, parameters, mode};
    return offer(problem, ops, problem.reserve(), bytes);
}

STANDIN_API Status cudnnBatchNormalizationForwardTrainingEx(
    Handle* handle, int mode, int ops, const void* alpha_at, const void* beta_at, const Array* x_is, const void* x,
    const Array*, const void*, const Array* y_is, void* y, const Array* parameters_are, const void* gamma,
    const void* shift, double momentum, void* running_mean, void* running_variance, double epsilon, void* saved_mean,
    void* saved_inverse, const void*, void* workspace, size_t workspace_bytes, void* reserve, size_t reserve_bytes) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    const void* factors[] = {alpha_at, beta_at};
    if (const Status status = check_numbers(factors, 2, epsilon)) return status;
    if (!x_is || !parameters_are) return refuse(BAD_PARAM, "a descriptor is null");
    const Problem problem{*x_is, *parameters_are, mode};
    if (const Status status = problem.check(ops)) return status;
    if (const Status status = problem.check_like_x(y_is, "y")) return status;
    if (!running_mean != !running_variance) return refuse(BAD_PARAM, "one of the running statistics is null");
    if (!saved_mean != !saved_inverse) return refuse(BAD_PARAM, "one of the saved statistics is null");
    if (is_planted("swapped-running")) std::swap(running_mean, running_variance);
    // With neither address nor size of a workspace the function is the plain one.
    const bool has_spaces = problem.is_persistent() && (workspace || workspace_bytes);
    if (has_spaces) {
        if (const Status status = check_space("workspace", workspace, workspace_bytes, problem.workspace(true)))
            return status;
        if (const Status status = check_space("reserve space", reserve, reserve_bytes, problem.reserve()))
            return status;
    }
    std::vector<Use> uses = {problem.data("x", x, false), problem.parameter("gamma", gamma, false),
                             problem.parameter("beta", shift, false), problem.data("y", y, true)};
    for (const auto& [name, at] : {std::pair("the running mean", running_mean),
                                   std::pair("the running variance", running_variance),
                                   std::pair("the saved mean", saved_mean),
                                   std::pair("the saved inverse deviation", saved_inverse)})
        if (at) uses.push_back(problem.parameter(name, at, true));
    if (has_spaces) uses.push_back({"the reserve space", reserve, problem.reserve(), 4, true});
    if (const Status status = check_uses(uses)) return status;
    if (const Status status = refuse_planted(problem, true)) return status;
    const float alpha = number(alpha_at), beta = number(beta_at);
    standin::Work work = [=](softcuda_device* device) {
        if (has_spaces)
            if (const int fault = work_in_space(device, workspace, problem.workspace(true))) return fault;
        // What is moved or blended is read before it is written.
        for (void* at : {running_mean, running_variance})
            if (at)
                if (const int fault = may(device, problem.parameter("a running statistic", at, false))) return fault;
        if (beta != 0.0f)
            if (const int fault = may(device, problem.data("y", y, false))) return fault;
        if (const int fault = may_all(device, uses)) return fault;
        const Moments of = moments(problem, x, epsilon);
        each(problem.x, [&](size_t at, size_t c) {
            const double value = (get(problem.x.type, x, at) - of.mean[c]) * of.inverse[c];
            const double scaled = value * get(Type::F32, gamma, c) + get(Type::F32, shift, c);
            put(problem.x.type, y, at, blend(alpha, scaled, beta, y, problem.x.type, at));
        });
        for (size_t c = 0; c < problem.channels(); c++) {
            const auto move = [&](void* running, double batch) {
                const double moved = (1.0 - momentum) * get(Type::F32, running, c) + momentum * batch;
                put(Type::F32, running, c, static_cast<float>(moved));
            };
            if (running_mean) move(running_mean, of.mean[c]);
            if (running_variance) move(running_variance, of.unbiased[c]);
            if (saved_mean) put(Type::F32, saved_mean, c, static_cast<float>(of.mean[c]));
            if (saved_inverse) put(Type::F32, saved_inverse, c, static_cast<float>(of.inverse[c]));
        }
        if (has_spaces) {
            const uint64_t of_x = fingerprint(problem, x);
            std::memset(reserve, 0, problem.reserve());
            std::memcpy(reserve, &of_x, sizeof(of_x));
        }
        return 0;
    };
    return softcuda_enqueue(handle->stream, &work) ? EXECUTION_FAILED : OK;
}

STANDIN_API Status cudnnBatchNormalizationBackwardEx(
    Handle* handle, int mode, int ops, const void* alpha_data_at, const void* beta_data_at,
    const void* alpha_parameters_at, const void* beta_parameters_at, const Array* x_is, const void* x, const Array*,
    const void*, const Array* dy_is, const void* dy, const Array*, void*, const Array* dx_is, void* dx,
    const Array* parameters_are, const void* gamma, const void*, void* dgamma, void* dshift, double epsilon,
    const void* saved_mean, const void* saved_inverse, const void*, void* workspace, size_t workspace_bytes,
    void* reserve, size_t reserve_bytes) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    const void* factors[] = {alpha_data_at, beta_data_at, alpha_parameters_at, beta_parameters_at};
    if (const Status status = check_numbers(factors, 4, epsilon)) return status;
    if (!x_is || !parameters_are) return refuse(BAD_PARAM, "a descriptor is null");
    const Problem problem{*x_is, *parameters_are, mode};
    if (const Status status = problem.check(ops)) return status;
    for (const auto& [other, name] : {std::pair(dy_is, "dy"), std::pair(dx_is, "dx")})
        if (const Status status = problem.check_like_x(other, name)) return status;
    if (!saved_mean != !saved_inverse) return refuse(BAD_PARAM, "one of the saved statistics is null");
    if (problem.is_persistent() && !saved_mean)
        return refuse(BAD_PARAM, "the persistent mode needs the saved statistics");
    const bool has_spaces = problem.is_persistent() && (workspace || workspace_bytes);
    if (has_spaces) {
        if (const Status status = check_space("workspace", workspace, workspace_bytes, problem.workspace(false)))
            return status;
        if (const Status status = check_space("reserve space", reserve, reserve_bytes, problem.reserve()))
            return status;
    }
    std::vector<Use> uses = {problem.data("x", x, false),
                             problem.data("dy", dy, false),
                             problem.parameter("gamma", gamma, false),
                             problem.data("dx", dx, true),
                             problem.parameter("dgamma", dgamma, true),
                             problem.parameter("dbeta", dshift, true)};
    if (saved_mean) {
        uses.push_back(problem.parameter("the saved mean", saved_mean, false));
        uses.push_back(problem.parameter("the saved inverse deviation", saved_inverse, false));
    }
    if (has_spaces) uses.push_back({"the reserve space", reserve, problem.reserve(), 4, false});
    if (const Status status = check_uses(uses)) return status;
    if (const Status status = refuse_planted(problem, false)) return status;
    const float alpha_data = number(alpha_data_at), beta_data = number(beta_data_at);
    const float alpha_parameters = number(alpha_parameters_at);
    const float beta_parameters = is_planted("lost-parameter-sum") ? 0.0f : number(beta_parameters_at);
    standin::Work work = [=](softcuda_device* device) {
        if (has_spaces)
            if (const int fault = work_in_space(device, workspace, problem.workspace(false))) return fault;
        if (beta_data != 0.0f)
            if (const int fault = may(device, problem.data("dx", dx, false))) return fault;
        if (beta_parameters != 0.0f)
            for (void* at : {dgamma, dshift})
                if (const int fault = may(device, problem.parameter("a gradient that is added to", at, false)))
                    return fault;
        if (const int fault = may_all(device, uses)) return fault;
        if (has_spaces) {
            const uint64_t of_x = fingerprint(problem, x);
            if (std::memcmp(reserve, &of_x, sizeof(of_x)))
                return may(device, {"x is not that of the forward pass whose reserve space this is", nullptr, 1, 1,
                                    false});
        }
        const size_t C = problem.channels();
        const Type type = problem.x.type;
        std::vector<double> mean(C), inverse(C), sum(C), product(C);
        if (saved_mean) {
            for (size_t c = 0; c < C; c++) {
                mean[c] = get(Type::F32, saved_mean, c);
                inverse[c] = get(Type::F32, saved_inverse, c);
            }
        } else {
            Moments of = moments(problem, x, epsilon);
            mean = std::move(of.mean);
            inverse = std::move(of.inverse);
        }
        const auto normalised = [&](size_t at, size_t c) { return (get(type, x, at) - mean[c]) * inverse[c]; };
        each(problem.x, [&](size_t at, size_t c) {
            const double g = get(type, dy, at);
            sum[c] += g;
            product[c] += g * normalised(at, c);
        });
        const auto m = static_cast<double>(problem.rows());
        each(problem.x, [&](size_t at, size_t c) {
            const double own = get(type, dy, at) - sum[c] / m - normalised(at, c) * product[c] / m;
            const double value = get(Type::F32, gamma, c) * inverse[c] * own;
            put(type, dx, at, blend(alpha_data, value, beta_data, dx, type, at));
        });
        for (size_t c = 0; c < C; c++) {
            put(Type::F32, dgamma, c, blend(alpha_parameters, product[c], beta_parameters, dgamma, Type::F32, c));
            put(Type::F32, dshift, c, blend(alpha_parameters, sum[c], beta_parameters, dshift, Type::F32, c));
        }
        return 0;
    };
    return softcuda_enqueue(handle->stream, &work) ? EXECUTION_FAILED : OK;
}

STANDIN_API Status cudnnBatchNormalizationForwardInference(Handle* handle, int mode, const void* alpha_at,
                                                           const void* beta_at, const Array* x_is, const void* x,
                                                           const Array* y_is, void* y, const Array* parameters_are,
                                                           const void* gamma, const void* shift, const void* mean,
                                                           const void* variance, double epsilon) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    const void* factors[] = {alpha_at, beta_at};
    if (const Status status = check_numbers(factors, 2, epsilon)) return status;
    if (!x_is || !parameters_are) return refuse(BAD_PARAM, "a descriptor is null");
    const Problem problem{*x_is, *parameters_are, mode};
    if (const Status status = problem.check(normalisation_alone)) return status;
    if (const Status status = problem.check_like_x(y_is, "y")) return status;
    if (is_planted("swapped-running")) std::swap(mean, variance);
    const std::vector<Use> uses = {problem.data("x", x, false),
                                   problem.parameter("gamma", gamma, false),
                                   problem.parameter("beta", shift, false),
                                   problem.parameter("the mean", mean, false),
                                   problem.parameter("the variance", variance, false),
                                   problem.data("y", y, true)};
    if (const Status status = check_uses(uses)) return status;
    const float alpha = number(alpha_at), beta = number(beta_at);
    standin::Work work = [=](softcuda_device* device) {
        if (beta != 0.0f)
            if (const int fault = may(device, problem.data("y", y, false))) return fault;
        if (const int fault = may_all(device, uses)) return fault;
        const size_t C = problem.channels();
        std::vector<double> scale(C), offset(C);
        for (size_t c = 0; c < C; c++) {
            scale[c] = get(Type::F32, gamma, c) / std::sqrt(get(Type::F32, variance, c) + epsilon);
            offset[c] = get(Type::F32, shift, c) - scale[c] * get(Type::F32, mean, c);
        }
        each(problem.x, [&](size_t at, size_t c) {
            const double value = scale[c] * get(problem.x.type, x, at) + offset[c];
            put(problem.x.type, y, at, blend(alpha, value, beta, y, problem.x.type, at));
        });
        return 0;
    };
    return softcuda_enqueue(handle->stream, &work) ? EXECUTION_FAILED : OK;
}
