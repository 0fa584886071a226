//! Matrix products of tensors, by cuBLAS.

use super::CudaDevice;
use super::cublas::Operand;
use crate::Result;
use crate::device::Precision;
use crate::tensor::{DType, Tensor, Write};
use std::sync::atomic::Ordering;

/// A row-major f32 matrix as a factor, as it lies or transposed.
#[derive(Clone, Copy, Debug)]
pub struct Factor<'a> {
    matrix: &'a Tensor,
    transposed: bool,
}

impl<'a> Factor<'a> {
    /// The matrix as it lies.
    pub fn plain(matrix: &'a Tensor) -> Self {
        Factor { matrix, transposed: false }
    }

    /// Its transpose.
    pub fn transposed(matrix: &'a Tensor) -> Self {
        Factor { matrix, transposed: true }
    }

    /// Rows and columns of the factor.
    ///
    /// # Panics
    /// If the tensor is no f32 matrix.
    fn sizes(&self) -> [usize; 2] {
        assert_eq!(self.matrix.dtype(), DType::F32);
        let [rows, columns] = self.matrix.shape().matrix().expect("a factor is a matrix");
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    fn operand(&self) -> Operand {
        Operand { address: self.matrix.cuda().address(), transposed: self.transposed }
    }
}

impl CudaDevice {
    /// Writes or adds the product of two factors to `c`.
    ///
    /// # Errors
    /// What cuBLAS says.
    ///
    /// # Panics
    /// If the sizes do not fit together.
    pub(crate) fn multiply(&self, a: Factor<'_>, b: Factor<'_>, c: &mut Tensor, write: Write) -> Result<()> {
        let ([m, k], [depth, n]) = (a.sizes(), b.sizes());
        assert!(k == depth && c.shape().matrix() == Some([m, n]), "matrix sizes do not fit together");
        let tf32 = self.precision() != Precision::F32;
        self.bind()?;
        let (a, b, to) = (a.operand(), b.operand(), c.cuda_mut().address());
        // SAFETY: the addresses are of tensors of these sizes, and `c` is held by nobody else, so it is apart from both.
        // Their memory is handed on in the order of the stream only.
        unsafe { self.cublas.gemm(m, n, k, a, b, to, write.beta(), tf32) }?;
        self.launches.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
