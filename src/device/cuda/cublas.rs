//! Matrix products by cuBLAS.
//!
//! cuBLAS computes the same bits in each run if all products of a handle go through one stream with one
//! workspace, and it allocates nothing while a graph is captured if that workspace is given to it; so both
//! are fixed when it is opened.

use super::libraries::{Library, function_table};
use super::{CudaDevice, Out};
use crate::device::Precision;
use crate::element::GradMode;
use crate::{Error, Result};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// The bytes of workspace that cuBLAS's manual recommends for Hopper; older chips are content with less.
pub const WORKSPACE_BYTES: usize = 32 << 20;

/// `cublasHandle_t`.
type Handle = *mut c_void;
/// Handle, both transpositions; m, n, k; alpha; A, its type and leading dimension; B likewise; beta; C
/// likewise; compute type, algorithm.
type GemmEx = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_void,
    *const c_void,
    c_int,
    c_int,
    *const c_void,
    c_int,
    c_int,
    *const c_void,
    *mut c_void,
    c_int,
    c_int,
    c_int,
    c_int,
) -> c_int;

function_table! {
    Api {
        cublasCreate_v2: unsafe extern "C" fn(*mut Handle) -> c_int,
        cublasDestroy_v2: unsafe extern "C" fn(Handle) -> c_int,
        cublasSetStream_v2: unsafe extern "C" fn(Handle, *mut c_void) -> c_int,
        cublasSetWorkspace_v2: unsafe extern "C" fn(Handle, *mut c_void, usize) -> c_int,
        cublasGemmEx: GemmEx,
    }
}

/// `CUDA_R_32F`.
const R_32F: c_int = 0;
/// `CUBLAS_COMPUTE_32F`: products and sums in f32; under the default math mode no TF32.
const COMPUTE_32F: c_int = 68;
/// `CUBLAS_COMPUTE_32F_FAST_TF32`: f32 may be rounded to TF32.
const COMPUTE_32F_FAST_TF32: c_int = 77;
/// `CUBLAS_GEMM_DEFAULT`: heuristics choose.
const GEMM_DEFAULT: c_int = -1;

/// cuBLAS, at work in one stream.
#[derive(Debug)]
pub struct Cublas {
    api: Api,
    /// cuBLAS's manual allows one handle in several threads and advises against it; one at a time is safe
    /// either way.
    handle: Mutex<Handle>,
}

// SAFETY: the handle is reached under its mutex alone, and any thread may use it then; the rest is function
// pointers.
unsafe impl Send for Cublas {}
// SAFETY: as for Send.
unsafe impl Sync for Cublas {}

/// A dense row-major matrix of f32 on the device, as a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Of its first element.
    pub address: u64,
    /// Whether the factor is the matrix's transpose: a factor `[m, k]` then lies as `[k, m]`.
    pub transposed: bool,
}

impl Cublas {
    /// cuBLAS for the device of the current context, working in `stream` with a workspace of `bytes` bytes,
    /// of which [`WORKSPACE_BYTES`] are enough.
    ///
    /// # Errors
    /// The library lacks a function, or refuses the device or the workspace (which begins at a multiple of
    /// 256 bytes).
    ///
    /// # Safety
    /// `stream` is a `CUstream` of the current context, `workspace` device memory of that size; both outlive
    /// the result, and nobody else writes the workspace.
    pub unsafe fn open(library: &Library, stream: *mut c_void, workspace: u64, bytes: usize) -> Result<Self> {
        let api = Api::of(library)?;
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: a place for the handle.
        let status = unsafe { (api.cublasCreate_v2)(&raw mut handle) };
        check(status, || {
            format!("cublasCreate of {library} (a driver too old for it? bcreid doctor shows both)")
        })?;
        let cublas = Cublas { api, handle: Mutex::new(handle) };
        // In this order: a new stream brings back cuBLAS's own workspace.
        // SAFETY: the handle was made above, the caller answers for the stream.
        let status = unsafe { (cublas.api.cublasSetStream_v2)(handle, stream) };
        check(status, || "cublasSetStream".into())?;
        // SAFETY: likewise for the workspace.
        let status = unsafe { (cublas.api.cublasSetWorkspace_v2)(handle, workspace as *mut c_void, bytes) };
        check(status, || format!("cublasSetWorkspace of {bytes} bytes at {workspace:#x}"))?;
        Ok(cublas)
    }

    /// Enqueues `c = a b + beta c` in row-major f32: a `[m, k]`, b `[k, n]`, c `[m, n]`. With `tf32` cuBLAS
    /// may round the factors to TF32's 10 bits of mantissa, for the tensor cores.
    ///
    /// # Errors
    /// A size of 2^31 or more, or whatever cuBLAS refuses.
    ///
    /// # Safety
    /// The addresses are device arrays of these sizes, c apart from both others; they live until the stream
    /// has done the work, and nothing outside of the stream uses them meanwhile. The context of
    /// [`Cublas::open`] is current.
    #[expect(clippy::too_many_arguments, reason = "a matrix product in the words of BLAS")]
    pub unsafe fn gemm(
        &self,
        m: usize,
        n: usize,
        k: usize,
        a: Operand,
        b: Operand,
        c: u64,
        beta: f32,
        tf32: bool,
    ) -> Result<()> {
        let what = || format!("product of [{m}, {k}] and [{k}, {n}]");
        let narrow = |size: usize| {
            c_int::try_from(size)
                .map_err(|_| Error::Device(format!("cuBLAS: {}: sizes must be less than 2^31", what())))
        };
        let [rows, columns, depth] = [narrow(m)?, narrow(n)?, narrow(k)?];
        if m == 0 || n == 0 {
            return Ok(());
        }
        // cuBLAS is column-major, and sees the transpose of what lies row-major: it is asked for c' = b' a'.
        let row_of_b = if b.transposed { depth } else { columns }.max(1);
        let row_of_a = if a.transposed { rows } else { depth }.max(1);
        let compute = if tf32 { COMPUTE_32F_FAST_TF32 } else { COMPUTE_32F };
        let one = 1.0f32;
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller answers for the arrays; the factors are read before the call returns (host
        // pointers are cuBLAS's default), and are f32 as the compute type asks.
        let status = unsafe {
            (self.api.cublasGemmEx)(
                *handle,
                b.transposed.into(),
                a.transposed.into(),
                columns,
                rows,
                depth,
                (&raw const one).cast(),
                b.address as *const c_void,
                R_32F,
                row_of_b,
                a.address as *const c_void,
                R_32F,
                row_of_a,
                (&raw const beta).cast(),
                c as *mut c_void,
                R_32F,
                columns,
                compute,
                GEMM_DEFAULT,
            )
        };
        check(status, what)
    }
}

impl CudaDevice {
    /// Enqueues `c = a b + beta c` in row-major f32, of sizes `[m, n, k]`: a `[m, k]`, b `[k, n]`, c `[m, n]`. A device that
    /// does not compute in f32 may round the factors to TF32.
    ///
    /// # Errors
    /// As [`Cublas::gemm`].
    ///
    /// # Safety
    /// The addresses are device arrays of these sizes, c apart from both others. Their memory is handed on in the order of
    /// the stream only.
    pub(crate) unsafe fn gemm(
        &self,
        [m, n, k]: [usize; 3],
        a: Operand,
        b: Operand,
        c: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.bind()?;
        let tf32 = self.precision() != Precision::F32;
        // SAFETY: the caller's; the context is current.
        unsafe { self.cublas.gemm(m, n, k, a, b, c.address(), mode.beta(), tf32) }?;
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        let handle = *self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: made by cublasCreate and destroyed once. A refusal would have no one to tell.
        let _ = unsafe { (self.api.cublasDestroy_v2)(handle) };
    }
}

fn check(status: c_int, what: impl FnOnce() -> String) -> Result<()> {
    let name = match status {
        0 => return Ok(()),
        1 => "CUBLAS_STATUS_NOT_INITIALIZED",
        3 => "CUBLAS_STATUS_ALLOC_FAILED",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        8 => "CUBLAS_STATUS_ARCH_MISMATCH",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        15 => "CUBLAS_STATUS_NOT_SUPPORTED",
        16 => "CUBLAS_STATUS_LICENSE_ERROR",
        _ => "an unknown status",
    };
    Err(Error::Device(format!("cuBLAS: {} failed: {name} ({status})", what())))
}
