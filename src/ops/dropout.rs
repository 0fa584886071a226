//! Dropout with inverted scaling (Srivastava et al., 2014; section 2.1 of the paper puts it behind pool5).
//!
//! y = x / (1 - ratio) where an element is kept, else 0; dx = dy / (1 - ratio) where it was kept, else 0. Element j of
//! image i of the batch of all ranks is kept if and only if the uniform number Philox(seed, step, i,
//! stream)\[j\] is at least `ratio`; the stream is `RngStream::Dropout`, or another one for a second dropout in the step,
//! which would have the same mask.
//!
//! The mask is never stored: the counter-based generator gives the same numbers again in the backward pass, so only
//! (seed, step, ratio) is saved. Kernels read the step number from device memory, so that a captured step can be
//! replayed with another number.
//!
//! Book: [chapter 16](../../../../../docs/book/src/16-bits.md), and
//! [chapter 20](../../../../../docs/book/src/20-many-ranks.md) for several ranks.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::tensor::philox::RngStream;
use crate::{Error, Result};

/// Sets each element of `x` `[m, D]` to 0 with probability `ratio` and scales the others by 1 / (1 - ratio). On a tape
/// that does not record, or with `ratio` 0, the output is `x` itself.
///
/// # Errors
/// If `x` is no matrix or `ratio` is outside [0, 1).
pub fn dropout(tape: &mut Tape<'_>, x: Var, ratio: f32) -> Result<Var> {
    // ANCHOR: first
    let first = tape.device().group().share().rank * x.shape().dims().first().copied().unwrap_or(0);
    dropout_from(tape, x, ratio, RngStream::Dropout, first)
    // ANCHOR_END: first
}

/// As [`dropout`], with the mask of another stream of random numbers, for rows whose first is row `first` of the batch of
/// all ranks.
///
/// # Errors
/// As [`dropout`].
pub fn dropout_from(tape: &mut Tape<'_>, x: Var, ratio: f32, stream: RngStream, first: usize) -> Result<Var> {
    check::matrix("dropout", "x", &x.value)?;
    if !(0.0..1.0).contains(&ratio) {
        return Err(Error::shape("dropout", format!("ratio {ratio} is outside [0, 1)")));
    }
    if !tape.is_recording() || ratio == 0.0 {
        return Ok(x);
    }
    let (seed, step) = (tape.values().seed, tape.values().step.clone());
    let mask = DropoutBackward { seed, step, stream, first, ratio };
    let mut y = Tensor::empty(&tape.device(), x.shape(), DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&mask, &x.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &mask, &x.value, &mut y)?,
    }
    Ok(tape.record(y, &[x.handle()], |_| mask))
}

/// The parameters of the mask, from which both passes draw it.
struct DropoutBackward {
    seed: u64,
    step: Tensor,
    stream: RngStream,
    /// The row of the batch of all ranks that is the first here.
    first: usize,
    ratio: f32,
}

impl Backward for DropoutBackward {
    fn op(&self) -> &'static str {
        "dropout"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        match dy.gpu().cloned() {
            None => cpu::backward(&self, &mut dy),
            Some(gpu) => cuda::backward(&gpu, &self, &mut dy)?,
        }
        sinks.give(0, dy)
    }
}

mod cpu {
    use super::DropoutBackward;
    use crate::tensor::Tensor;
    use crate::tensor::philox::{Philox, unit};
    use rayon::prelude::*;

    pub fn forward(mask: &DropoutBackward, x: &Tensor, y: &mut Tensor) {
        y.f32_mut().copy_from_slice(x.f32());
        apply(mask, y);
    }

    /// Overwrites dy with dx: the derivative is the mask itself.
    pub fn backward(mask: &DropoutBackward, dy: &mut Tensor) {
        apply(mask, dy);
    }

    /// Multiplies every element by its factor, 0 or 1 / (1 - ratio); a task is one image.
    fn apply(mask: &DropoutBackward, values: &mut Tensor) {
        let d = values.shape().last();
        let step = mask.step.i32()[0] as u64;
        let scale = 1.0 / (1.0 - mask.ratio);
        // ANCHOR: mask
        values.f32_mut().par_chunks_mut(d).enumerate().for_each(|(image, row)| {
            let stream = Philox::new(mask.seed, step, (mask.first + image) as u64, mask.stream);
            for (block, values) in row.chunks_mut(4).enumerate() {
                for (value, word) in values.iter_mut().zip(stream.block(block as u32)) {
                    // A selection, since an infinity times 0 would be NaN.
                    *value = if unit(word) >= mask.ratio { *value * scale } else { 0.0 };
                }
            }
        });
        // ANCHOR_END: mask
    }
}

mod cuda {
    use super::DropoutBackward;
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, In, Out, kernels};
    use crate::element::Shape;
    use crate::tensor::Tensor;

    pub fn forward(gpu: &CudaDevice, mask: &DropoutBackward, x: &Tensor, y: &mut Tensor) -> Result<()> {
        apply(gpu, mask, x.shape(), x.into(), y.into())
    }

    /// Overwrites dy with dx: the derivative is the mask itself.
    pub fn backward(gpu: &CudaDevice, mask: &DropoutBackward, dy: &mut Tensor) -> Result<()> {
        let (shape, dx) = (dy.shape(), Out::from(dy));
        apply(gpu, mask, shape, dx.into(), dx)
    }

    fn apply(gpu: &CudaDevice, mask: &DropoutBackward, shape: Shape, x: In, y: Out) -> Result<()> {
        let (m, d) = (shape.dims()[0], shape.last());
        let (seed, step, ratio) = (mask.seed, (&mask.step).into(), mask.ratio);
        let (stream, scale) = (mask.stream as usize, 1.0 / (1.0 - ratio));
        let kernel = kernels::Dropout { x, y, d, seed, step, stream, ratio, scale };
        gpu.launch(Grid::tiles([m, d.div_ceil(1024), 1]), kernel)
    }
}
