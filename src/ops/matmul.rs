//! Matrix products of tensors on a GPU, by cuBLAS.
//!
//! Book: [chapter 14](../../../../../docs/book/src/14-launches.md).

use crate::Result;
use crate::device::cuda::{CudaDevice, In};
use crate::element::{DType, GradMode};
use crate::tensor::Tensor;

/// A factor of a matrix product: a row-major f32 matrix or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    matrix: &'a Tensor,
    transposed: bool,
}

impl<'a> Factor<'a> {
    /// The matrix itself.
    pub fn plain(matrix: &'a Tensor) -> Self {
        Factor { matrix, transposed: false }
    }

    /// The transpose of the matrix.
    pub fn transposed(matrix: &'a Tensor) -> Self {
        Factor { matrix, transposed: true }
    }

    /// The rows and columns of the factor.
    ///
    /// # Panics
    /// If the tensor is no f32 matrix.
    fn sizes(&self) -> [usize; 2] {
        assert_eq!(self.matrix.dtype(), DType::F32);
        let [rows, columns] = self.matrix.shape().matrix().expect("a factor is a matrix");
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    fn operand(&self) -> (In, bool) {
        (self.matrix.into(), self.transposed)
    }
}

/// Enqueues a matrix product: writes a b to `c`, or adds it, as `mode` says.
///
/// # Errors
/// A cuBLAS error.
///
/// # Panics
/// If the sizes do not fit together.
pub fn multiply(
    gpu: &CudaDevice,
    a: Factor<'_>,
    b: Factor<'_>,
    c: &mut Tensor,
    mode: GradMode,
) -> Result<()> {
    let ([m, k], [depth, n]) = (a.sizes(), b.sizes());
    assert!(k == depth && c.shape().matrix() == Some([m, n]), "matrix sizes do not fit together");
    // SAFETY: the factors and the result have these sizes, and no other handle to the result's memory exists, so it
    // overlaps neither factor.
    unsafe { gpu.gemm([m, n, k], a.operand(), b.operand(), c.into(), mode) }
}
