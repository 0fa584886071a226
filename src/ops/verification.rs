//! Pairs for a verification loss (Zheng, Zheng and Yang 2016, "A Discriminatively Learned CNN Embedding for Person
//! Re-identification", the square layer). [`crate::model::verification`] is the head behind it.
//!
//! A batch of m images, m even, has h = m / 2 pairs: image i and image i + h. With the feature x_i of image i,
//!
//! - f_i = (x_i - x_(i + h))^2, element by element, `[h, D]`;
//! - dx_i = 2 (x_i - x_(i + h)) df_i, dx_(i + h) = -dx_i.
//!
//! The label of a pair is 1 if both images have the same identity, else 0. The loss is then
//! [`super::softmax_cross_entropy`] of two classes behind [`super::linear`], with [`super::dropout`] between.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the loss on pairs of the paper; no
//! chapter explains this one.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "verification";

/// The number of pairs of `m` images.
fn pairs(m: usize) -> Result<usize> {
    if m.is_multiple_of(2) {
        return Ok(m / 2);
    }
    Err(Error::shape(OP, format!("a batch of {m} images has no two halves; use an even number of images")))
}

/// Computes the squared differences `[m / 2, D]` of the pairs (i, i + m / 2) of features `x` `[m, D]`.
///
/// # Errors
/// If `x` is no matrix, or m is odd.
pub fn squared_differences(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let [m, d] = check::matrix(OP, "x", &x.value)?;
    let mut y = Tensor::empty(&tape.device(), [pairs(m)?, d], DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &x.value, &mut y)?,
    }
    Ok(tape.record(y, &[x.handle()], |_| VerificationBackward { x: x.value }))
}

/// Computes the labels of the pairs (i, i + m / 2), i32 `[m / 2]`: 1 if the two labels of i32 `[m]` are equal, else 0.
///
/// # Errors
/// If `labels` is not i32 `[m]` with an even m of at least 2.
pub fn pair_labels(tape: &Tape<'_>, labels: &Tensor) -> Result<Tensor> {
    let m = labels.shape().len();
    check::labels(OP, labels, m)?;
    if m == 0 {
        return Err(Error::shape(OP, "labels are empty, expected those of at least one pair"));
    }
    let mut same = Tensor::empty(&tape.device(), [pairs(m)?], DType::I32)?;
    match labels.gpu() {
        None => cpu::labels(labels, &mut same),
        Some(gpu) => cuda::labels(gpu, labels, &mut same)?,
    }
    Ok(same)
}

struct VerificationBackward {
    x: Tensor,
}

impl Backward for VerificationBackward {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |dx, mode| match dy.gpu() {
            None => {
                cpu::backward(&self.x, &dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &self.x, &dy, dx, mode),
        })
    }
}

mod cpu {
    use crate::element::GradMode;
    use crate::tensor::Tensor;

    pub fn forward(x: &Tensor, y: &mut Tensor) {
        let (first, second) = x.f32().split_at(x.shape().len() / 2);
        y.f32_mut().iter_mut().zip(first).zip(second).for_each(|((y, a), b)| *y = (a - b) * (a - b));
    }

    /// Writes or adds dx.
    pub fn backward(x: &Tensor, dy: &Tensor, dx: &mut Tensor, mode: GradMode) {
        let (first, second) = x.f32().split_at(x.shape().len() / 2);
        let (dfirst, dsecond) = dx.f32_mut().split_at_mut(first.len());
        let slopes = || first.iter().zip(second).zip(dy.f32()).map(|((a, b), dy)| 2.0 * (a - b) * dy);
        mode.store(dfirst, slopes());
        mode.store(dsecond, slopes().map(|slope| -slope));
    }

    pub fn labels(labels: &Tensor, same: &mut Tensor) {
        let (first, second) = labels.i32().split_at(labels.shape().len() / 2);
        same.i32_mut().iter_mut().zip(first).zip(second).for_each(|((same, a), b)| *same = i32::from(a == b));
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::GradMode;
    use crate::tensor::Tensor;

    pub fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let n = y.shape().len();
        gpu.launch(gpu.flat(n, 4), kernels::VerificationForward { x: x.into(), y: y.into(), n })
    }

    /// Writes or adds dx.
    pub fn backward(
        gpu: &CudaDevice,
        x: &Tensor,
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let n = dy.shape().len();
        let (x, dy, dx, accumulate) = (x.into(), dy.into(), dx.into(), mode.flag());
        gpu.launch(gpu.flat(n, 4), kernels::VerificationBackward { x, dy, dx, accumulate, n })
    }

    pub fn labels(gpu: &CudaDevice, labels: &Tensor, same: &mut Tensor) -> Result<()> {
        let n = same.shape().len();
        let kernel = kernels::VerificationLabels { labels: labels.into(), same: same.into(), n };
        gpu.launch(Grid::blocks(n.div_ceil(256)), kernel)
    }
}
