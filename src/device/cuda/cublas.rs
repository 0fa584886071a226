//! Matrix products by cuBLAS.
//!
//! cuBLAS computes the same bits in each run if all products of a handle use one stream and one workspace, and it
//! allocates nothing during a graph capture if the caller provides the workspace. Both are therefore set when cuBLAS
//! is opened.
//!
//! Book: [chapter 14](../../../../../../docs/book/src/14-launches.md).

pub(super) mod api;

use super::arguments::Address;
use super::libraries::Library;
use super::libraries::versions::{CUBLAS_SUCCESS, cublasStatus_t};
use super::{CudaDevice, In, Lane, Out};
use crate::device::Precision;
use crate::element::GradMode;
use crate::{Error, Result};
use api::{
    Api, COMPUTE_32F, COMPUTE_32F_FAST_TF32, GEMM_DEFAULT, OP_N, OP_T, R_32F, cublasHandle_t as Handle,
    cublasOperation_t,
};
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// The workspace in bytes: what cuBLAS's manual recommends for Hopper; older chips need less.
pub const WORKSPACE_BYTES: usize = 32 << 20;

/// A cuBLAS handle for one stream.
#[derive(Debug)]
pub struct Cublas {
    api: Api,
    /// The handle, locked: cuBLAS's manual advises against the use of one handle by several threads at once.
    handle: Mutex<Handle>,
}

// SAFETY: the handle is used under its mutex alone, by any thread; the other fields are function pointers.
unsafe impl Send for Cublas {}
// SAFETY: as for Send.
unsafe impl Sync for Cublas {}

/// A factor of a matrix product: a dense row-major f32 matrix on the device, or its transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The device address of the first element.
    pub address: u64,
    /// True if the factor is the transpose of the stored matrix: a factor `[m, k]` is then stored as `[k, m]`.
    pub transposed: bool,
}

fn transposition(factor: Operand) -> cublasOperation_t {
    if factor.transposed { OP_T } else { OP_N }
}

impl Cublas {
    /// Creates a cuBLAS handle for the current context, `stream` and a workspace of `bytes` bytes;
    /// [`WORKSPACE_BYTES`] are enough.
    ///
    /// # Errors
    /// The library lacks a function, or rejects the device or the workspace (whose address must be a multiple of 256).
    ///
    /// # Safety
    /// `stream` is a `CUstream` of the current context, `workspace` device memory of that size; both outlive the
    /// result, and no other work writes the workspace.
    pub unsafe fn open(library: &Library, stream: *mut c_void, workspace: u64, bytes: usize) -> Result<Self> {
        let api = Api::of(library)?;
        let mut handle: Handle = ptr::null_mut();
        // SAFETY: the argument points to a variable for the handle.
        let status = unsafe { (api.cublasCreate_v2)(&raw mut handle) };
        check(status, || {
            format!("cublasCreate of {library} (a driver too old for it? bcreid doctor shows both)")
        })?;
        let cublas = Cublas { api, handle: Mutex::new(handle) };
        // The stream is set first, since a new stream resets the workspace.
        // SAFETY: the handle was created above; the caller guarantees the stream.
        let status = unsafe { (cublas.api.cublasSetStream_v2)(handle, stream) };
        check(status, || "cublasSetStream".into())?;
        // SAFETY: the caller guarantees the workspace.
        let status = unsafe { (cublas.api.cublasSetWorkspace_v2)(handle, workspace as *mut c_void, bytes) };
        check(status, || format!("cublasSetWorkspace of {bytes} bytes at {workspace:#x}"))?;
        Ok(cublas)
    }

    /// Enqueues `c = a b + beta c` in row-major f32: a `[m, k]`, b `[k, n]`, c `[m, n]`. With `tf32` cuBLAS may round
    /// the factors to TF32's 10 bits of mantissa, for the tensor cores.
    ///
    /// # Errors
    /// A size of 2^31 or more, or a cuBLAS error.
    ///
    /// # Safety
    /// The addresses are device arrays of these sizes, and c overlaps neither factor. The arrays live until the stream
    /// has done the work, and nothing outside of the stream uses them before. The context of [`Cublas::open`] is
    /// current.
    #[expect(clippy::too_many_arguments, reason = "the parameters of a BLAS matrix product")]
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
        // ANCHOR: row_major
        // cuBLAS is column-major and reads a row-major matrix as its transpose, so the call computes c' = b' a'.
        let row_of_b = if b.transposed { depth } else { columns }.max(1);
        let row_of_a = if a.transposed { rows } else { depth }.max(1);
        let compute = if tf32 { COMPUTE_32F_FAST_TF32 } else { COMPUTE_32F };
        let one = 1.0f32;
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the caller guarantees the arrays; alpha and beta are f32, as the compute type requires, and are read
        // before the call returns (host pointers are cuBLAS's default).
        let status = unsafe {
            (self.api.cublasGemmEx)(
                *handle,
                transposition(b),
                transposition(a),
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
        // ANCHOR_END: row_major
    }
}

impl CudaDevice {
    /// Enqueues `c = a b + beta c` in row-major f32, of sizes `[m, n, k]`: a `[m, k]`, b `[k, n]`, c `[m, n]`, with
    /// beta from `mode`. A factor is a matrix, and true if it is the transpose of what is stored. A device whose
    /// precision is not f32 may round the factors to TF32.
    ///
    /// # Errors
    /// As [`Cublas::gemm`]; a matrix of another device object.
    ///
    /// # Safety
    /// The addresses are device arrays of these sizes, and c overlaps neither factor. Their memory is reused in the
    /// order of the stream only.
    pub(crate) unsafe fn gemm(
        &self,
        [m, n, k]: [usize; 3],
        a: (In, bool),
        b: (In, bool),
        c: Out,
        mode: GradMode,
    ) -> Result<()> {
        self.bind()?;
        self.check_owner("matrix product", [a.0.inner(), b.0.inner(), c.inner()])?;
        let uses = [a.0.inner(), b.0.inner(), c.inner()].map(Address::usage);
        let [a, b] = [a, b].map(|(matrix, transposed)| Operand { address: matrix.address(), transposed });
        let tf32 = self.precision() != Precision::F32;
        let work = |_| {
            // SAFETY: the caller guarantees the arrays; the context is current.
            unsafe { self.cublas.gemm(m, n, k, a, b, c.address(), mode.beta(), tf32) }
        };
        self.streams.enqueue(Lane::Main, &uses, work)?;
        self.note_launch("matrix product", || [4 * (m * k + k * n + m * n), 2 * m * n * k])
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        let handle = *self.handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: cublasCreate made the handle, and it is destroyed once. A destructor cannot return an error.
        let _ = unsafe { (self.api.cublasDestroy_v2)(handle) };
    }
}

fn check(status: cublasStatus_t, what: impl FnOnce() -> String) -> Result<()> {
    if status == CUBLAS_SUCCESS {
        return Ok(());
    }
    let known = api::STATUSES.iter().find(|(number, _)| *number == status);
    let name = known.map_or("an unknown status", |(_, name)| name);
    Err(Error::Device(format!("cuBLAS: {} failed: {name} ({status})", what())))
}
