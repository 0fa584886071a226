// A stand-in for cuBLAS: matrix products of f32 and bf16 with f32 sums, in the stream of their handle.
#include "../number.h"

#include <algorithm>
#include <vector>

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
    size_t span() const { return rows && columns ? static_cast<size_t>(columns - 1) * ld + rows : 0; }
};

// op(matrix) as rows of f32, one behind the other.
std::vector<float> rows_of(const Matrix& m, bool transposed) {
    const int rows = transposed ? m.columns : m.rows, columns = transposed ? m.rows : m.columns;
    std::vector<float> result(static_cast<size_t>(rows) * columns);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            const size_t at = transposed ? static_cast<size_t>(i) * m.ld + j : static_cast<size_t>(j) * m.ld + i;
            result[static_cast<size_t>(i) * columns + j] = get(m.type, m.data, at);
        }
    return result;
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
    *handle = new Handle;
    return OK;
}

STANDIN_API Status cublasDestroy_v2(Handle* handle) {
    delete handle;
    return OK;
}

STANDIN_API Status cublasGetVersion_v2(Handle*, int* version) {
    *version = static_cast<int>(number_from_environment("SOFTCUDA_CUBLAS_VERSION", 130000));
    return OK;
}

// A new stream brings back the library's own workspace, as in cuBLAS.
STANDIN_API Status cublasSetStream_v2(Handle* handle, void* stream) {
    handle->stream = stream;
    handle->workspace = nullptr;
    handle->workspace_bytes = 0;
    return OK;
}

STANDIN_API Status cublasSetWorkspace_v2(Handle* handle, void* workspace, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(workspace) % 256) {
        softcuda_say("cublasSetWorkspace: the workspace must begin at a multiple of 256 bytes");
        return INVALID;
    }
    handle->workspace = workspace;
    handle->workspace_bytes = bytes;
    return OK;
}

STANDIN_API Status cublasSetMathMode(Handle*, int mode) { return (mode & 15) <= 3 ? OK : INVALID; }

// C [m, n] = alpha op(A) op(B) + beta C, all column-major.
STANDIN_API Status cublasGemmEx(Handle* handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha,
                                const void* a, int type_a, int lda, const void* b, int type_b, int ldb, const void* beta,
                                void* c, int type_c, int ldc, int compute, int) {
    if (!handle) return NOT_INITIALIZED;
    Type ta, tb, tc;
    if (!type_of(type_a, ta) || !type_of(type_b, tb) || !type_of(type_c, tc)) return UNSUPPORTED;
    constexpr int compute_32f = 68, compute_32f_pedantic = 69, compute_32f_fast_tf32 = 77;
    if (compute != compute_32f && compute != compute_32f_pedantic && compute != compute_32f_fast_tf32) return UNSUPPORTED;
    if (ta != tb || (ta == Type::F32 && tc == Type::BF16)) return UNSUPPORTED;
    if (transpose_a > 1 || transpose_b > 1) return UNSUPPORTED;
    const Matrix A{a, ta, transpose_a ? k : m, transpose_a ? m : k, lda};
    const Matrix B{b, tb, transpose_b ? n : k, transpose_b ? k : n, ldb};
    const Matrix C{c, tc, m, n, ldc};
    if (m < 0 || n < 0 || k < 0) return refuse("a negative size");
    for (const auto& [matrix, name] : {std::pair(&A, "A"), std::pair(&B, "B"), std::pair(&C, "C")})
        if (matrix->ld < std::max(1, matrix->rows))
            return refuse("the leading dimension " + std::to_string(matrix->ld) + " of " + name + " is less than its " +
                          std::to_string(matrix->rows) + " rows");
    const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
    Work work = [=](softcuda_device* device) {
        if (const int fault = may_read(device, A.data, A.type, A.span(), "cublasGemmEx: A")) return fault;
        if (const int fault = may_read(device, B.data, B.type, B.span(), "cublasGemmEx: B")) return fault;
        if (keep != 0.0f)
            if (const int fault = may_read(device, C.data, C.type, C.span(), "cublasGemmEx: C with beta")) return fault;
        const std::vector<float> rows = rows_of(A, transpose_a), columns = rows_of(B, transpose_b);
        std::vector<float> sums(static_cast<size_t>(n));
        for (int i = 0; i < m; i++) {
            std::fill(sums.begin(), sums.end(), 0.0f);
            for (int l = 0; l < k; l++) {
                const float factor = rows[static_cast<size_t>(i) * k + l];
                const float* row = &columns[static_cast<size_t>(l) * n];
                for (int j = 0; j < n; j++) sums[j] += factor * row[j];
            }
            for (int j = 0; j < n; j++) {
                const size_t at = static_cast<size_t>(j) * ldc + i;
                if (const int fault = may_write(device, static_cast<const char*>(c) + at * bytes_of(tc), tc, 1, "cublasGemmEx: C"))
                    return fault;
                put(tc, c, at, scale * sums[j] + (keep != 0.0f ? keep * get(tc, c, at) : 0.0f));
            }
        }
        return 0;
    };
    return softcuda_enqueue(handle->stream, &work) ? FAILED : OK;
}
