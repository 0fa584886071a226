//! The version that a library reports of itself.

use super::declare::{c_constants, c_types, function_table};
use super::{Library, Version};
use std::ffi::c_int;

c_types! {
    CUresult = c_int;
    cublasStatus_t = c_int;
    libraryPropertyType = c_int;
}

c_constants! {
    CUDA_SUCCESS = CUDA_SUCCESS: CUresult = 0;
    CUBLAS_SUCCESS = CUBLAS_STATUS_SUCCESS: cublasStatus_t = 0;
    MAJOR_VERSION = MAJOR_VERSION: libraryPropertyType = 0;
    MINOR_VERSION = MINOR_VERSION: libraryPropertyType = 1;
    PATCH_LEVEL = PATCH_LEVEL: libraryPropertyType = 2;
}

function_table! {
    DriverVersion {
        cuDriverGetVersion(version: *mut c_int) -> CUresult;
    }
}

function_table! {
    CudnnVersion {
        cudnnGetVersion() -> usize;
    }
}

function_table! {
    CublasVersion {
        cublasGetProperty(property: libraryPropertyType, value: *mut c_int) -> cublasStatus_t;
    }
}

/// The newest CUDA version that a driver supports; the query may come before `cuInit`.
pub(super) fn of_driver(library: &Library) -> Option<Version> {
    let mut version: c_int = 0;
    // SAFETY: the argument points to a variable for the one value that is written.
    let status = unsafe { (DriverVersion::of(library).ok()?.cuDriverGetVersion)(&raw mut version) };
    u32::try_from(version).ok().filter(|_| status == CUDA_SUCCESS).map(cuda)
}

/// The version of cuDNN, whose required part is open.
pub(super) fn of_cudnn(library: &Library) -> Option<Version> {
    // SAFETY: the function has no arguments, and the part that implements it is open.
    let version = unsafe { (CudnnVersion::of(library).ok()?.cudnnGetVersion)() };
    u32::try_from(version).ok().map(cudnn)
}

/// The version of cuBLAS.
pub(super) fn of_cublas(library: &Library) -> Option<Version> {
    let get = CublasVersion::of(library).ok()?.cublasGetProperty;
    let part = |property: libraryPropertyType| {
        let mut value: c_int = 0;
        // SAFETY: the argument points to a variable for the one value that is written.
        let status = unsafe { get(property, &raw mut value) };
        u32::try_from(value).ok().filter(|_| status == CUBLAS_SUCCESS)
    };
    Some(Version(part(MAJOR_VERSION)?, part(MINOR_VERSION)?, part(PATCH_LEVEL)?))
}

/// The version of a number such as `CUDA_VERSION` of `cuda.h`: 13050 is 13.5.
pub(in crate::device::cuda) fn cuda(number: u32) -> Version {
    Version(number / 1000, number % 1000 / 10, 0)
}

/// The version of a number such as `CUDNN_VERSION` of `cudnn_version.h`: 92801 is 9.28.1.
pub(in crate::device::cuda) fn cudnn(number: u32) -> Version {
    Version(number / 10_000, number / 100 % 100, number % 100)
}
