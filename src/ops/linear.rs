//! Fully connected layer: y = x w^T + b, the classifier of the softmax branch; b may be absent.
//!
//! dx = dy w; dw = dy^T x; db = sum of dy's rows. The products write to their sinks, or add to them, without a
//! temporary.
//!
//! Book: [chapter 6](../../../../../docs/book/src/06-mlp.md).

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::bias;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Computes x w^T + b of `x` `[m, C]`, `w` `[K, C]` and `bias` `[K]`: `[m, K]`; x w^T if `bias` is `None`.
///
/// # Errors
/// If the inputs do not have these shapes, or are not f32.
pub fn linear(tape: &mut Tape<'_>, x: Var, w: Var, bias: impl Into<Option<Var>>) -> Result<Var> {
    let bias = bias.into();
    let fits = |k: usize| bias.as_ref().is_none_or(|bias| bias.shape().dims() == [k]);
    let sizes = match (x.shape().matrix(), w.shape().matrix()) {
        (Some([m, c]), Some([k, wc])) if c == wc && fits(k) => [m, k],
        _ => {
            let of_bias = bias.map_or(String::new(), |bias| format!(" and bias {}", bias.shape()));
            return Err(Error::shape(
                "linear",
                format!(
                    "x {}, w {}{of_bias} do not fit; they must be [m, C], [K, C] and [K]",
                    x.shape(),
                    w.shape()
                ),
            ));
        }
    };
    let of_bias = bias.iter().map(|bias| ("bias", &bias.value));
    check::f32s("linear", [("x", &x.value), ("w", &w.value)].into_iter().chain(of_bias))?;
    let mut y = Tensor::empty(&tape.device(), sizes, DType::F32)?;
    let b = bias.as_ref().map(|bias| &bias.value);
    match x.value.gpu() {
        None => cpu::forward(&x.value, &w.value, b, &mut y),
        Some(gpu) => cuda::forward(gpu, &x.value, &w.value, b, &mut y)?,
    }
    let has_bias = bias.is_some();
    let inputs: Vec<_> = [x.handle(), w.handle()].into_iter().chain(bias.map(|b| b.handle())).collect();
    let [needs_dx, needs_dw] = [0, 1].map(|i| tape.needs_grad(inputs[i]));
    let (x, w) = (needs_dw.then_some(x.value), needs_dx.then_some(w.value));
    Ok(tape.record(y, &inputs, |_| LinearBackward { x, w, has_bias }))
}

struct LinearBackward {
    /// The input, if dw is needed.
    x: Option<Tensor>,
    /// The weights, if dx is needed.
    w: Option<Tensor>,
    has_bias: bool,
}

// ANCHOR: backward
impl Backward for LinearBackward {
    fn op(&self) -> &'static str {
        "linear"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        if let Some(w) = &self.w {
            sinks.add(0, |dx, mode| match dy.gpu() {
                None => {
                    cpu::input_gradient(&dy, w, dx, mode);
                    Ok(())
                }
                Some(gpu) => cuda::input_gradient(gpu, &dy, w, dx, mode),
            })?;
        }
        if let Some(x) = &self.x {
            sinks.add(1, |dw, mode| match dy.gpu() {
                None => {
                    cpu::weight_gradient(&dy, x, dw, mode);
                    Ok(())
                }
                Some(gpu) => cuda::weight_gradient(gpu, &dy, x, dw, mode),
            })?;
        }
        if !self.has_bias {
            return Ok(());
        }
        sinks.add(2, |db, mode| match dy.gpu() {
            None => {
                cpu::bias_gradient(&dy, db, mode);
                Ok(())
            }
            Some(gpu) => bias::gradient(gpu, &dy, db, mode),
        })
    }
}
// ANCHOR_END: backward

mod cpu {
    use crate::device::cpu::{MatMut, MatRef, Split, gemm};
    use crate::element::GradMode;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Columns of a task.
    const COLUMNS: usize = 256;

    fn sizes(t: &Tensor) -> [usize; 2] {
        t.shape().matrix().expect("the operation has checked its shapes")
    }

    fn matrix(t: &Tensor) -> MatRef<'_> {
        let [rows, cols] = sizes(t);
        MatRef::new(t.f32(), rows, cols)
    }

    fn matrix_mut(t: &mut Tensor) -> MatMut<'_> {
        let [rows, cols] = sizes(t);
        MatMut::new(t.f32_mut(), rows, cols)
    }

    pub fn forward(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, y: &mut Tensor) {
        let mode = match bias {
            Some(bias) => {
                repeat(bias.f32(), y.f32_mut());
                GradMode::Accumulate
            }
            None => GradMode::Overwrite,
        };
        gemm(matrix_mut(y), mode, matrix(x), matrix(w).t(), Split::Threads);
    }

    // ANCHOR: products
    pub fn input_gradient(dy: &Tensor, w: &Tensor, dx: &mut Tensor, mode: GradMode) {
        gemm(matrix_mut(dx), mode, matrix(dy), matrix(w), Split::Threads);
    }
    // ANCHOR_END: products

    pub fn weight_gradient(dy: &Tensor, x: &Tensor, dw: &mut Tensor, mode: GradMode) {
        gemm(matrix_mut(dw), mode, matrix(dy).t(), matrix(x), Split::Threads);
    }

    /// Fills every row of y with `row`.
    fn repeat(row: &[f32], y: &mut [f32]) {
        if !row.is_empty() {
            y.par_chunks_exact_mut(row.len()).with_min_len(64).for_each(|y| y.copy_from_slice(row));
        }
    }

    /// Writes or adds the sum of dy's rows, computed in f64.
    pub fn bias_gradient(dy: &Tensor, db: &mut Tensor, mode: GradMode) {
        let (dy, k) = (dy.f32(), db.shape().len());
        db.f32_mut().par_chunks_mut(COLUMNS).enumerate().for_each(|(block, db)| {
            let mut sums = [0.0_f64; COLUMNS];
            for row in dy.chunks_exact(k) {
                let row = &row[block * COLUMNS..][..db.len()];
                sums.iter_mut().zip(row).for_each(|(s, &dy)| *s += f64::from(dy));
            }
            mode.store(db, sums.iter().map(|&s| s as f32));
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::CudaDevice;
    use crate::element::GradMode;
    use crate::ops::bias;
    use crate::ops::matmul::{Factor, multiply};
    use crate::tensor::Tensor;

    pub fn forward(
        gpu: &CudaDevice,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
        y: &mut Tensor,
    ) -> Result<()> {
        multiply(gpu, Factor::plain(x), Factor::transposed(w), y, GradMode::Overwrite)?;
        b.map_or(Ok(()), |b| bias::forward(gpu, b, y))
    }

    pub fn input_gradient(
        gpu: &CudaDevice,
        dy: &Tensor,
        w: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        multiply(gpu, Factor::plain(dy), Factor::plain(w), dx, mode)
    }

    pub fn weight_gradient(
        gpu: &CudaDevice,
        dy: &Tensor,
        x: &Tensor,
        dw: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        multiply(gpu, Factor::transposed(dy), Factor::plain(x), dw, mode)
    }
}
