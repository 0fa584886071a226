//! Sum of two tensors of one shape: the join of a residual block.
//!
//! y = a + b; da = dy and db = dy. Both inputs get the whole gradient: the second is given the buffer, the
//! first a copy (or a sum, when it has another user: the fan-out of the residual).

use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};

/// a + b, element by element; any shape.
///
/// # Errors
/// If the shapes differ.
pub fn add(tape: &mut Tape<'_>, a: Var, b: Var) -> Result<Var> {
    if a.shape() != b.shape() {
        return Err(Error::shape("add", format!("{} and {} differ", a.shape(), b.shape())));
    }
    let mut y = Tensor::empty(&tape.device(), a.shape(), DType::F32);
    cpu::forward(&a.value, &b.value, &mut y);
    Ok(tape.record(y, &[a.handle(), b.handle()], |_| Saved))
}

struct Saved;

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "add"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |da, write| {
            write.store_tensor(da, &dy);
            Ok(())
        })?;
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
