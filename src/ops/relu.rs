//! ReLU: y = max(x, 0).
//!
//! dx = 0 where y <= 0 (the derivative at 0 is taken as 0), else dy. The gradient depends on the output alone, so only
//! the output is saved. An operation that holds the last handle to its input works in place.
//!
//! NaN stays NaN and passes its gradient, as in PyTorch: a ReLU that mapped NaN to 0 would hide a diverged network from
//! the loss.
//!
//! Book: [chapter 1](../../../../../docs/book/src/01-one-step.md), [chapter 6](../../../../../docs/book/src/06-mlp.md),
//! [chapter 14](../../../../../docs/book/src/14-launches.md).

use crate::Result;
use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::tensor::Tensor;

// ANCHOR: forward
/// Computes max(x, 0) element by element, and NaN where x is NaN; any shape.
///
/// # Errors
/// A device error.
pub fn relu(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let input = x.handle();
    let mut x = x.value;
    let y = if x.is_unique() {
        match x.gpu().cloned() {
            None => cpu::forward_in_place(&mut x),
            Some(gpu) => cuda::forward_in_place(&gpu, &mut x)?,
        }
        x
    } else {
        let mut y = Tensor::empty(&tape.device(), x.shape(), x.dtype())?;
        match x.gpu() {
            None => cpu::forward(&x, &mut y),
            Some(gpu) => cuda::forward(gpu, &x, &mut y)?,
        }
        y
    };
    Ok(tape.record(y, &[input], |y| ReluBackward { y }))
}
// ANCHOR_END: forward

struct ReluBackward {
    y: Tensor,
}

// ANCHOR: backward
impl Backward for ReluBackward {
    fn op(&self) -> &'static str {
        "relu"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        match self.y.gpu() {
            None => cpu::backward(&self.y, &mut dy),
            Some(gpu) => cuda::backward(gpu, &self.y, &mut dy)?,
        }
        sinks.give(0, dy)
    }
}
// ANCHOR_END: backward

mod cpu {
    use crate::element::{Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements of a task: 64 KiB, half of a small L2 cache.
    const CHUNK: usize = 16 * 1024;

    // ANCHOR: loops
    /// max(x, 0), and NaN for NaN: `f32::max` would return 0. The comparison is one instruction too.
    fn rectified(x: f32) -> f32 {
        if x < 0.0 { 0.0 } else { x }
    }

    pub fn forward(x: &Tensor, y: &mut Tensor) {
        // Memory is f32 or bf16; the comparison is in f32.
        fn run<E: Real>(x: &[E], y: &mut [E]) {
            y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
                y.iter_mut().zip(x).for_each(|(y, x)| *y = E::narrow(rectified(x.widen())));
            });
        }
        with_real!(x, E => run::<E>(x.reals(), y.reals_mut()));
    }
    // ANCHOR_END: loops

    pub fn forward_in_place(x: &mut Tensor) {
        fn run<E: Real>(x: &mut [E]) {
            let chunks = x.par_chunks_mut(CHUNK);
            chunks.for_each(|x| x.iter_mut().for_each(|x| *x = E::narrow(rectified(x.widen()))));
        }
        with_real!(x, E => run::<E>(x.reals_mut()));
    }

    /// Overwrites dy with dx.
    pub fn backward(y: &Tensor, dy: &mut Tensor) {
        fn run<E: Real>(y: &[E], dy: &mut [E]) {
            dy.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dy, y)| {
                dy.iter_mut()
                    .zip(y)
                    .for_each(|(dy, y)| *dy = if y.widen() <= 0.0 { E::narrow(0.0) } else { *dy });
            });
        }
        with_real!(dy, E => run::<E>(y.reals(), dy.reals_mut()));
    }
}

pub(super) mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Out, kernels};
    use crate::tensor::Tensor;

    // ANCHOR: launch
    pub fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let (dtype, n) = (x.dtype(), x.shape().len());
        let kernel = kernels::ReluForward { x: x.into(), y: y.into(), n };
        gpu.launch(gpu.flat(n, 16 / dtype.bytes()), kernel)
    }
    // ANCHOR_END: launch

    pub fn forward_in_place(gpu: &CudaDevice, x: &mut Tensor) -> Result<()> {
        let (dtype, n) = (x.dtype(), x.shape().len());
        let y = Out::from(x);
        gpu.launch(gpu.flat(n, 16 / dtype.bytes()), kernels::ReluForward { x: y.into(), y, n })
    }

    /// Overwrites dy with dx.
    pub fn backward(gpu: &CudaDevice, y: &Tensor, dy: &mut Tensor) -> Result<()> {
        let (dtype, n) = (y.dtype(), y.shape().len());
        let dx = Out::from(dy);
        let kernel = kernels::ReluBackward { y: y.into(), dy: dx.into(), dx, n };
        gpu.launch(gpu.flat(n, 16 / dtype.bytes()), kernel)
    }
}
