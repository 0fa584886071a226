//! Sum of two tensors of one shape: the shortcut connection of a residual block.
//!
//! y = a + b; da = dy and db = dy. The second input receives the buffer of dy, the first a copy (or a sum, if the first
//! input has another use: the fan-out of the residual).
//!
//! Book: [chapter 4](../../../../../docs/book/src/04-fan-out.md).

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Computes a + b element by element; any shape.
///
/// # Errors
/// If the shapes or the element types differ.
pub fn add(tape: &mut Tape<'_>, a: Var, b: Var) -> Result<Var> {
    let kind = |v: &Var| format!("{} {}", v.value.dtype(), v.shape());
    if (a.shape(), a.value.dtype()) != (b.shape(), b.value.dtype()) {
        let detail = format!("a is {}, b is {}; type and shape must be equal", kind(&a), kind(&b));
        return Err(Error::shape("add", detail));
    }
    let mut y = Tensor::empty(&tape.device(), a.shape(), a.value.dtype())?;
    match a.value.gpu() {
        None => cpu::forward(&a.value, &b.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &a.value, &b.value, &mut y)?,
    }
    Ok(tape.record(y, &[a.handle(), b.handle()], |_| AddBackward))
}

struct AddBackward;

// ANCHOR: backward
impl Backward for AddBackward {
    fn op(&self) -> &'static str {
        "add"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |da, mode| da.store(&dy, mode))?;
        sinks.give(1, dy)
    }
}
// ANCHOR_END: backward

mod cpu {
    use crate::element::{Real, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements of a task: three times 64 KiB.
    const CHUNK: usize = 16 * 1024;

    pub fn forward(a: &Tensor, b: &Tensor, y: &mut Tensor) {
        fn run<E: Real>(a: &[E], b: &[E], y: &mut [E]) {
            let inputs = a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK));
            y.par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
                y.iter_mut()
                    .zip(a.iter().zip(b))
                    .for_each(|(y, (a, b))| *y = E::narrow(a.widen() + b.widen()));
            });
        }
        with_real!(a, E => run::<E>(a.reals(), b.reals(), y.reals_mut()));
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, kernels};
    use crate::tensor::Tensor;

    pub fn forward(gpu: &CudaDevice, a: &Tensor, b: &Tensor, y: &mut Tensor) -> Result<()> {
        let (grid, n) = (gpu.flat(a.shape().len(), 16 / a.dtype().bytes()), a.shape().len());
        gpu.launch(grid, kernels::AddForward { a: a.into(), b: b.into(), y: y.into(), n })
    }
}
