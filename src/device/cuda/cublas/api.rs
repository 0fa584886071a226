//! Function table and constants of cuBLAS 12 and 13, from `cublas_api.h` and `library_types.h`.

use crate::device::cuda::libraries::declare::{c_constants, c_types, function_table};
use crate::device::cuda::libraries::versions::cublasStatus_t;
use std::ffi::{c_int, c_void};

c_types! {
    cublasHandle_t = *mut c_void;
    cudaStream_t = *mut c_void;
    cublasOperation_t = c_int;
    cudaDataType = c_int;
    cublasComputeType_t = c_int;
    cublasGemmAlgo_t = c_int;
}

c_constants! {
    OP_N = CUBLAS_OP_N: cublasOperation_t = 0;
    OP_T = CUBLAS_OP_T: cublasOperation_t = 1;
    R_32F = CUDA_R_32F: cudaDataType = 0;
    /// Products and sums in f32; under the default math mode no TF32.
    COMPUTE_32F = CUBLAS_COMPUTE_32F: cublasComputeType_t = 68;
    /// f32 may be rounded to TF32.
    COMPUTE_32F_FAST_TF32 = CUBLAS_COMPUTE_32F_FAST_TF32: cublasComputeType_t = 77;
    /// cuBLAS chooses the algorithm by its heuristics.
    GEMM_DEFAULT = CUBLAS_GEMM_DEFAULT: cublasGemmAlgo_t = -1;
}

/// The statuses of failures, with their names in the header.
pub(in crate::device::cuda) const STATUSES: &[(cublasStatus_t, &str)] = &[
    (1, "CUBLAS_STATUS_NOT_INITIALIZED"),
    (3, "CUBLAS_STATUS_ALLOC_FAILED"),
    (7, "CUBLAS_STATUS_INVALID_VALUE"),
    (8, "CUBLAS_STATUS_ARCH_MISMATCH"),
    (11, "CUBLAS_STATUS_MAPPING_ERROR"),
    (13, "CUBLAS_STATUS_EXECUTION_FAILED"),
    (14, "CUBLAS_STATUS_INTERNAL_ERROR"),
    (15, "CUBLAS_STATUS_NOT_SUPPORTED"),
    (16, "CUBLAS_STATUS_LICENSE_ERROR"),
];

function_table! {
    Api {
        cublasCreate_v2(handle: *mut cublasHandle_t) -> cublasStatus_t;
        cublasDestroy_v2(handle: cublasHandle_t) -> cublasStatus_t;
        cublasSetStream_v2(handle: cublasHandle_t, stream: cudaStream_t) -> cublasStatus_t;
        cublasSetWorkspace_v2(handle: cublasHandle_t, workspace: *mut c_void, bytes: usize) -> cublasStatus_t;
        cublasGemmEx(
            handle: cublasHandle_t,
            transposition_of_a: cublasOperation_t,
            transposition_of_b: cublasOperation_t,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const c_void,
            a: *const c_void,
            type_of_a: cudaDataType,
            leading_dimension_of_a: c_int,
            b: *const c_void,
            type_of_b: cudaDataType,
            leading_dimension_of_b: c_int,
            beta: *const c_void,
            c: *mut c_void,
            type_of_c: cudaDataType,
            leading_dimension_of_c: c_int,
            compute: cublasComputeType_t,
            algorithm: cublasGemmAlgo_t,
        ) -> cublasStatus_t;
    }
}
