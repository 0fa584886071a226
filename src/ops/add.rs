//! Sum of two tensors of one shape: the join of a residual block.
//!
//! y = a + b; da = dy and db = dy. Both inputs get the whole gradient: the second is given the buffer, the
//! first a copy (or a sum, when it has another user: the fan-out of the residual).

use crate::tensor::{Backward, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};

/// a + b, element by element; any shape.
///
/// # Errors
/// If the shapes differ.
pub fn add(tape: &mut Tape<'_>, a: Var, b: Var) -> Result<Var> {
    let kind = |v: &Var| (v.shape(), v.value.dtype());
    if kind(&a) != kind(&b) {
        return Err(Error::shape("add", format!("{:?} and {:?} differ", kind(&a), kind(&b))));
    }
    let mut y = Tensor::empty(&tape.device(), a.shape(), a.value.dtype())?;
    match a.value.gpu() {
        None => cpu::forward(&a.value, &b.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &a.value, &b.value, &mut y)?,
    }
    Ok(tape.record(y, &[a.handle(), b.handle()], |_| Saved))
}

struct Saved;

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "add"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |da, write| write.store_tensor(da, &dy))?;
        sinks.give(1, dy)
    }
}

mod cpu {
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Elements a thread takes at a time: three times 64 KiB.
    const CHUNK: usize = 16 * 1024;

    pub fn forward(a: &Tensor, b: &Tensor, y: &mut Tensor) {
        let inputs = a.f32().par_chunks(CHUNK).zip(b.f32().par_chunks(CHUNK));
        y.f32_mut().par_chunks_mut(CHUNK).zip(inputs).for_each(|(y, (a, b))| {
            y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a + b);
        });
    }
}

pub(crate) mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, In, Out, kernels};
    use crate::tensor::Tensor;

    pub fn forward(gpu: &CudaDevice, a: &Tensor, b: &Tensor, y: &mut Tensor) -> Result<()> {
        launch(gpu, a, a.into(), b.into(), y.into())
    }

    /// to += from, for a gradient that comes to one already there.
    pub fn add_to(gpu: &CudaDevice, to: &mut Tensor, from: &Tensor) -> Result<()> {
        let sum = Out::from(to);
        launch(gpu, from, sum.into(), from.into(), sum)
    }

    fn launch(gpu: &CudaDevice, like: &Tensor, a: In, b: In, y: Out) -> Result<()> {
        let (dtype, n) = (like.dtype(), like.shape().len());
        gpu.launch(gpu.flat(n, 16 / dtype.bytes()), kernels::AddForward { a, b, y, n })
    }
}
