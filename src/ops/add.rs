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
    cpu::forward(a.value.f32(), b.value.f32(), y.f32_mut());
    Ok(tape.record(y, &[a.handle(), b.handle()], |_| Saved))
}

struct Saved;

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "add"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |da, write| {
            cpu::backward(dy.f32(), da.f32_mut(), write);
            Ok(())
        })?;
        sinks.give(1, dy)
    }
}

mod cpu {
    use crate::tensor::Write;
    use rayon::prelude::*;

    const CHUNK: usize = 16 * 1024;

    pub fn forward(a: &[f32], b: &[f32], y: &mut [f32]) {
        y.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK))).for_each(|(y, (a, b))| {
            y.iter_mut().zip(a.iter().zip(b)).for_each(|(y, (a, b))| *y = a + b);
        });
    }

    pub fn backward(dy: &[f32], da: &mut [f32], write: Write) {
        da.par_chunks_mut(CHUNK)
            .zip(dy.par_chunks(CHUNK))
            .for_each(|(da, dy)| write.store(da, dy.iter().copied()));
    }
}
