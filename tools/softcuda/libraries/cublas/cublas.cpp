// A stand-in for cuBLAS: matrix products of f32 and bf16 with f32 sums, in the stream of their handle.
#include "../number.h"
#include "../product.h"

using namespace standin;

namespace {

// The values of cublasStatus_t that are in use here.
enum Status : int { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, FAILED = 13, UNSUPPORTED = 15 };

struct Handle {
    void* stream = nullptr;
    void* workspace = nullptr;
    size_t workspace_bytes = 0;
};

Status refuse(const std::string& what) {
    softcuda_say(("cublasGemmEx: " + what).c_str());
    return INVALID;
}

bool type_of(int value, Type& type) {
    constexpr int r_32f = 0, r_16bf = 14;
    type = value == r_32f ? Type::F32 : Type::BF16;
    return value == r_32f || value == r_16bf;
}

// A column-major matrix: element (row, column) at row + column * ld.
struct Matrix {
    const void* data;
    Type type;
    int rows, columns, ld;
    size_t at(int row, int column) const { return static_cast<size_t>(column) * ld + row; }

    // Elements between the columns are not touched.
    int may_be(softcuda_use use, softcuda_device* device, const char* what) const {
        const bool at_once = ld == rows;
        const size_t bytes = bytes_of(type) * static_cast<size_t>(rows) * static_cast<size_t>(at_once ? columns : 1);
        for (int j = 0; bytes && j < (at_once ? 1 : columns); j++) {
            const void* column = static_cast<const char*>(data) + at(0, j) * bytes_of(type);
            if (const int fault = softcuda_device_check(device, column, bytes, use, what)) return fault;
        }
        return SOFTCUDA_OK;
    }
};

// The columns of a matrix as f32, consecutively.
std::vector<float> dense(const Matrix& m) {
    std::vector<float> values;
    values.reserve(static_cast<size_t>(m.rows) * m.columns);
    for (int j = 0; j < m.columns; j++)
        for (int i = 0; i < m.rows; i++) values.push_back(get(m.type, m.data, m.at(i, j)));
    return values;
}

// The transposed of op(matrix), which in this order of elements is a matrix of rows.
View turned(const Matrix& m, const std::vector<float>& values, bool transposed) {
    return transposed ? View{values.data(), 1, m.rows} : View{values.data(), m.rows, 1};
}

}

STANDIN_API const char* cublasGetStatusString(Status status) {
    switch (status) {
        case OK: return "CUBLAS_STATUS_SUCCESS";
        case NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
        case INVALID: return "CUBLAS_STATUS_INVALID_VALUE";
        case FAILED: return "CUBLAS_STATUS_EXECUTION_FAILED";
        case UNSUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    }
    return "unknown error";
}

STANDIN_API Status cublasCreate_v2(Handle** handle) {
    ANSWER_PLANTED(Status);
    *handle = new Handle;
    return OK;
}

STANDIN_API Status cublasDestroy_v2(Handle* handle) {
    ANSWER_PLANTED(Status);
    if (handle->workspace && !softcuda_memory_exists(handle->workspace, handle->workspace_bytes))
        softcuda_say("cublasDestroy: the workspace was freed before");
    if (!softcuda_stream_exists(handle->stream)) softcuda_say("cublasDestroy: the stream was destroyed before");
    delete handle;
    return OK;
}

STANDIN_API Status cublasGetVersion_v2(Handle*, int* version) {
    ANSWER_PLANTED(Status);
    *version = static_cast<int>(number_from_environment("SOFTCUDA_CUBLAS_VERSION", 130000));
    return OK;
}

// A new stream brings back the library's own workspace, as in cuBLAS.
STANDIN_API Status cublasSetStream_v2(Handle* handle, void* stream) {
    ANSWER_PLANTED(Status);
    handle->stream = stream;
    handle->workspace = nullptr;
    handle->workspace_bytes = 0;
    return OK;
}

STANDIN_API Status cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t bytes) {
    ANSWER_PLANTED(Status);
    if (reinterpret_cast<uintptr_t>(workspace) % 256) {
        softcuda_say("cublasSetWorkspace: the workspace must begin at a multiple of 256 bytes");
        return INVALID;
    }
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return OK;
}

STANDIN_API Status cublasSetMathMode(Handle*, int mode) {
    ANSWER_PLANTED(Status);
    return (mode & 15) <= 3 ? OK : INVALID;
}

// C [m, n] = alpha op(A) op(B) + beta C, all column-major.
STANDIN_API Status cublasGemmEx(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k,
                                const void* alpha,
                                const void* a, int type_a, int lda, const void* b, int type_b, int ldb,
                                const void* beta,
                                void* c, int type_c, int ldc, int compute, int) {
    ANSWER_PLANTED(Status);
    if (!handle) return NOT_INITIALIZED;
    Type ta, tb, tc;
    if (!type_of(type_a, ta) || !type_of(type_b, tb) || !type_of(type_c, tc)) return UNSUPPORTED;
    constexpr int compute_32f = 68, compute_32f_pedantic = 69, compute_32f_fast_tf32 = 77;
    if (compute != compute_32f && compute != compute_32f_pedantic
        && compute != compute_32f_fast_tf32) return UNSUPPORTED;
    if (ta != tb || (ta == Type::F32 && tc == Type::BF16)) return UNSUPPORTED;
    if (transpose_a > 1 || transpose_b > 1) return UNSUPPORTED;
    const Matrix A{a, ta, transpose_a ? k : m, transpose_a ? m : k, lda};
    const Matrix B{b, tb, transpose_b ? n : k, transpose_b ? k : n, ldb};
    const Matrix C{c, tc, m, n, ldc};
    if (m < 0 || n < 0 || k < 0) return refuse("a negative size");
    for (const auto& [matrix, name] : {std::pair(&A, "A"), std::pair(&B, "B"), std::pair(&C, "C")})
        if (matrix->ld < std::max(1, matrix->rows)) {
            return refuse("the leading dimension " + std::to_string(matrix->ld) + " of " + name + " is less than its " +
                          std::to_string(matrix->rows) + " rows");
        } else if (reinterpret_cast<uintptr_t>(matrix->data) % bytes_of(matrix->type)) {
            return refuse(std::string(name) + " is not aligned to its elements");
        }
    const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
    Work work = [=, workspace = handle->workspace, workspace_bytes = handle->workspace_bytes](softcuda_device* device) {
        if (const int fault = work_in(device, workspace, workspace_bytes, "cublasGemmEx: workspace")) return fault;
        if (const int fault = A.may_be(SOFTCUDA_READ, device, "cublasGemmEx: A")) return fault;
        if (const int fault = B.may_be(SOFTCUDA_READ, device, "cublasGemmEx: B")) return fault;
        if (keep != 0.0f)
            if (const int fault = C.may_be(SOFTCUDA_READ, device, "cublasGemmEx: C with beta")) return fault;
        if (const int fault = C.may_be(SOFTCUDA_WRITE, device, "cublasGemmEx: C")) return fault;
        std::vector<float> left = dense(A), right = dense(B);
        if (compute == compute_32f_fast_tf32 && ta == Type::F32)
            for (std::vector<float>* factor : {&left, &right})
                for (float& value : *factor) value = standin::to_tf32(value);
        std::vector<float> sums(static_cast<size_t>(m) * n);
        multiply(n, m, k, turned(B, right, transpose_b), turned(A, left, transpose_a), sums.data());
        for (int j = 0; j < n; j++)
            for (int i = 0; i < m; i++) {
                const float old = keep != 0.0f ? keep * get(tc, c, C.at(i, j)) : 0.0f;
                put(tc, c, C.at(i, j), scale * sums[static_cast<size_t>(j) * m + i] + old);
            }
        return 0;
    };
    return softcuda_enqueue(handle->stream, &work) ? FAILED : OK;
}
