//! Rectifier: y = max(x, 0).
//!
//! dx = dy where y > 0, else 0 (the derivative at 0 is taken as 0). The output alone decides, so only it is
//! saved, and with the last handle to the input the work is done in place.

use crate::Result;
use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};

/// max(x, 0), element by element; any shape.
///
/// # Errors
/// None on the CPU.
pub fn relu(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let input = x.handle();
    let mut x = x.value;
    let y = if x.is_unique() {
        cpu::forward_in_place(x.f32_mut());
        x
    } else {
        let mut y = Tensor::empty(&tape.device(), x.shape(), DType::F32);
        cpu::forward(x.f32(), y.f32_mut());
        y
    };
    Ok(tape.record(y, &[input], |y| Saved { y }))
}

struct Saved {
    y: Tensor,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "relu"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        cpu::backward(self.y.f32(), dy.f32_mut());
        sinks.give(0, dy)
    }
}

mod cpu {
    use rayon::prelude::*;

    /// Elements a thread takes at a time: 64 KiB, half of a small L2.
    const CHUNK: usize = 16 * 1024;

    pub fn forward(x: &[f32], y: &mut [f32]) {
        y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.max(0.0));
        });
    }

    pub fn forward_in_place(x: &mut [f32]) {
        x.par_chunks_mut(CHUNK).for_each(|x| x.iter_mut().for_each(|x| *x = x.max(0.0)));
    }

    /// Turns dy into dx where it lies.
    pub fn backward(y: &[f32], dy: &mut [f32]) {
        dy.par_chunks_mut(CHUNK).zip(y.par_chunks(CHUNK)).for_each(|(dy, y)| {
            dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy = if y > 0.0 { *dy } else { 0.0 });
        });
    }
}
