//! One matrix product through the stand-in's functions, and numbers for it.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;

use crate::common::numbers::Type;
use crate::common::stand_ins::{alloc, library, open_stream, uploaded};
use cudarc::driver::CudaStream;

library! { Functions in "libcublas.so.13":
    fn cublasCreate_v2(*mut *mut c_void) -> i32;
    fn cublasDestroy_v2(*mut c_void) -> i32;
    fn cublasGetVersion_v2(*mut c_void, *mut i32) -> i32;
    fn cublasSetStream_v2(*mut c_void, *mut c_void) -> i32;
    fn cublasSetWorkspace_v2(*mut c_void, u64, usize) -> i32;
    fn cublasSetMathMode(*mut c_void, i32) -> i32;
    fn cublasGetStatusString(i32) -> *const c_char;
    fn cublasGemmEx(
        *mut c_void, i32, i32, i32, i32, i32, *const f32, u64, i32, i32, u64, i32, i32, *const f32, u64, i32, i32,
        i32, i32
    ) -> i32;
}

pub struct Cublas {
    pub call: Functions,
    pub handle: *mut c_void,
    pub stream: Arc<CudaStream>,
}

impl Cublas {
    pub fn open() -> Self {
        let (stream, call, mut handle) = (open_stream(), Functions::load(), ptr::null_mut());
        // SAFETY: a place for the handle, then the handle and an open stream.
        unsafe {
            assert_eq!((call.cublasCreate_v2)(&raw mut handle), 0);
            assert_eq!((call.cublasSetStream_v2)(handle, stream.cu_stream().cast()), 0);
            assert_eq!((call.cublasSetMathMode)(handle, 2), 0);
        }
        Self { call, handle, stream }
    }

    pub fn set_workspace(&self, address: u64, bytes: usize) -> String {
        // SAFETY: an address that is wrong is refused, here or when it is used.
        self.status(unsafe { (self.call.cublasSetWorkspace_v2)(self.handle, address, bytes) })
    }

    pub fn status(&self, status: i32) -> String {
        // SAFETY: the text lives as long as the library.
        unsafe { CStr::from_ptr((self.call.cublasGetStatusString)(status)) }.to_string_lossy().into_owned()
    }

    pub fn multiply(&self, g: &Gemm) -> String {
        let code = |of: Type| if of == Type::F32 { 0 } else { 14 };
        let [lda, ldb, ldc] = g.ld;
        // SAFETY: the factors are on this side; what is wrong with the rest is refused.
        self.status(unsafe {
            (self.call.cublasGemmEx)(
                self.handle,
                g.transposed[0].into(),
                g.transposed[1].into(),
                g.m,
                g.n,
                g.k,
                &raw const g.alpha,
                g.a,
                code(g.inputs),
                lda,
                g.b,
                code(g.inputs),
                ldb,
                &raw const g.beta,
                g.c,
                code(g.output),
                ldc,
                g.compute,
                -1,
            )
        })
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: the handle is destroyed once.
        assert_eq!(unsafe { (self.call.cublasDestroy_v2)(self.handle) }, 0);
    }
}

pub const SUCCESS: &str = "CUBLAS_STATUS_SUCCESS";
pub const INVALID: &str = "CUBLAS_STATUS_INVALID_VALUE";

/// C [m, n] = alpha op(A) op(B) + beta C, column-major.
#[derive(Clone, Copy)]
pub struct Gemm {
    pub transposed: [bool; 2],
    pub inputs: Type,
    pub output: Type,
    pub m: i32,
    pub n: i32,
    pub k: i32,
    pub ld: [i32; 3],
    pub a: u64,
    pub b: u64,
    pub c: u64,
    pub alpha: f32,
    pub beta: f32,
    /// cuBLAS's number of the arithmetic: 68 is f32.
    pub compute: i32,
}

pub const SMALL: Gemm = Gemm {
    transposed: [false; 2],
    inputs: Type::F32,
    output: Type::F32,
    m: 5,
    n: 19,
    k: 11,
    ld: [5, 11, 5],
    a: 0,
    b: 0,
    c: 0,
    alpha: 1.0,
    beta: 0.0,
    compute: 68,
};

impl Gemm {
    /// The rows and columns of A, B and C as they lie in memory.
    pub fn shapes(&self) -> [(i32, i32); 3] {
        let turn = |turned, (rows, columns)| if turned { (columns, rows) } else { (rows, columns) };
        let [a, b] = self.transposed;
        [turn(a, (self.m, self.k)), turn(b, (self.k, self.n)), (self.m, self.n)]
    }

    /// The same with arrays on the device.
    pub fn on(mut self, stream: &CudaStream) -> Self {
        let sizes: Vec<_> = (0..3).map(|i| (self.ld[i] * self.shapes()[i].1) as usize).collect();
        self.a = uploaded(stream, &self.inputs.encode(&self.inputs.noise(sizes[0], 1)));
        self.b = uploaded(stream, &self.inputs.encode(&self.inputs.noise(sizes[1], 2)));
        self.c = alloc(sizes[2] * self.output.bytes());
        self
    }

    /// Expected values of C, gaps included.
    pub fn reference(&self, a: &[f32], b: &[f32], c: &[f32]) -> Vec<f64> {
        let element = |of: &[f32], operand: usize, row: i32, column: i32| {
            let (row, column) = if self.transposed[operand] { (column, row) } else { (row, column) };
            f64::from(of[(row + column * self.ld[operand]) as usize])
        };
        let mut result: Vec<f64> = c.iter().map(|&value| value.into()).collect();
        for i in 0..self.m {
            for j in 0..self.n {
                let sum: f64 = (0..self.k).map(|l| element(a, 0, i, l) * element(b, 1, l, j)).sum();
                let old = &mut result[(i + j * self.ld[2]) as usize];
                let kept = if self.beta == 0.0 { 0.0 } else { f64::from(self.beta) * *old };
                *old = f64::from(self.alpha) * sum + kept;
            }
        }
        result
    }
}
