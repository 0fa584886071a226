//! L2 normalisation of rows: y_i = x_i / max(||x_i||, 1e-12), as PyTorch's `F.normalize` (the normalisation layer
//! before the batch-contrastive loss, section 2.1 of the paper).
//!
//! dx_i = (dy_i - (dy_i . y_i) y_i) / ||x_i||: the part of dy_i that is tangent to the sphere. For a length below 1e-12
//! the divisor is a constant and dx_i = dy_i / 1e-12, which is large but finite for the zero vector.
//!
//! Book: [chapter 13](../../../../../docs/book/src/13-three-kernels.md).

use crate::Result;
use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;

/// The smallest divisor, the default of `F.normalize`.
pub const EPSILON: f64 = 1e-12;

/// Divides each row of `x` `[m, D]` by its Euclidean length.
///
/// # Errors
/// If `x` is no matrix.
pub fn l2_normalize(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let [m, d] = check::matrix("l2_normalize", "x", &x.value)?;
    let device = tape.device();
    let mut y = Tensor::empty(&device, [m, d], DType::F32)?;
    let mut norms = Tensor::empty(&device, [m], DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, &mut y, &mut norms),
        Some(gpu) => cuda::forward(gpu, &x.value, &mut y, &mut norms)?,
    }
    Ok(tape.record(y, &[x.handle()], |y| L2NormalizeBackward { y, norms }))
}

struct L2NormalizeBackward {
    y: Tensor,
    /// The length of each row of x before the lower bound, `[m]`.
    norms: Tensor,
}

impl Backward for L2NormalizeBackward {
    fn op(&self) -> &'static str {
        "l2_normalize"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        match self.y.gpu() {
            None => cpu::backward(&self.y, &self.norms, &mut dy),
            Some(gpu) => cuda::backward(gpu, &self.y, &self.norms, &mut dy)?,
        }
        sinks.give(0, dy)
    }
}

mod cpu {
    use super::EPSILON;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    pub fn forward(x: &Tensor, y: &mut Tensor, norms: &mut Tensor) {
        let d = x.shape().last();
        let rows = y.f32_mut().par_chunks_mut(d).zip(x.f32().par_chunks(d));
        rows.zip(norms.f32_mut()).for_each(|((y, x), norm)| {
            let length = dot(x, x).sqrt();
            let scale = 1.0 / length.max(EPSILON);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (f64::from(x) * scale) as f32);
            *norm = length as f32;
        });
    }

    /// Overwrites dy with dx.
    pub fn backward(y: &Tensor, norms: &Tensor, dy: &mut Tensor) {
        let d = y.shape().last();
        let rows = dy.f32_mut().par_chunks_mut(d).zip(y.f32().par_chunks(d));
        rows.zip(norms.f32()).for_each(|((dy, y), &norm)| {
            let norm = f64::from(norm);
            let (scale, radial) =
                if norm < EPSILON { (1.0 / EPSILON, 0.0) } else { (1.0 / norm, dot(dy, y)) };
            dy.iter_mut()
                .zip(y)
                .for_each(|(dy, &y)| *dy = ((f64::from(*dy) - radial * f64::from(y)) * scale) as f32);
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, Out, kernels};
    use crate::tensor::Tensor;

    pub fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor, norms: &mut Tensor) -> Result<()> {
        let (m, d) = (x.shape().dims()[0], x.shape().last());
        let kernel = kernels::L2NormalizeForward { x: x.into(), y: y.into(), norms: norms.into(), d };
        gpu.launch(Grid::blocks(m), kernel)
    }

    /// Overwrites dy with dx.
    pub fn backward(gpu: &CudaDevice, y: &Tensor, norms: &Tensor, dy: &mut Tensor) -> Result<()> {
        let (m, d) = (y.shape().dims()[0], y.shape().last());
        let dx = Out::from(dy);
        let kernel = kernels::L2NormalizeBackward { y: y.into(), norms: norms.into(), dy: dx.into(), dx, d };
        gpu.launch(Grid::blocks(m), kernel)
    }
}
