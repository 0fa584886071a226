//! Rows of unit length: y_i = x_i / max(||x_i||, 1e-12), as PyTorch's `F.normalize` (the normalisation layer
//! in front of the batch-contrastive loss, section 2.1 of the paper).
//!
//! dx_i = (dy_i - (dy_i . y_i) y_i) / ||x_i||: the part of dy_i that is tangent to the sphere. Below 1e-12
//! the divisor is a constant and dx_i = dy_i / 1e-12, which is large but finite for the zero vector.

use crate::Result;
use crate::ops::check;
use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};

/// The smallest divisor, `F.normalize`'s default.
const EPSILON: f64 = 1e-12;

/// Each row of `x` `[m, D]` divided by its Euclidean length.
///
/// # Errors
/// If `x` is no matrix.
pub fn l2_normalize(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let [m, d] = check::matrix("l2_normalize", "x", &x.value)?;
    let device = tape.device();
    let mut y = Tensor::empty(&device, [m, d], DType::F32);
    let mut norms = Tensor::empty(&device, [m], DType::F32);
    cpu::forward(d, x.value.f32(), y.f32_mut(), norms.f32_mut());
    Ok(tape.record(y, &[x.handle()], |y| Saved { y, norms }))
}

struct Saved {
    y: Tensor,
    /// `[m]`: the length of each row of x, before the lower bound.
    norms: Tensor,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "l2_normalize"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let d = dy.shape().last();
        cpu::backward(d, self.y.f32(), self.norms.f32(), dy.f32_mut());
        sinks.give(0, dy)
    }
}

mod cpu {
    use super::EPSILON;
    use rayon::prelude::*;

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    }

    pub fn forward(d: usize, x: &[f32], y: &mut [f32], norms: &mut [f32]) {
        y.par_chunks_mut(d).zip(x.par_chunks(d)).zip(norms).for_each(|((y, x), norm)| {
            let length = dot(x, x).sqrt();
            let scale = 1.0 / length.max(EPSILON);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (f64::from(x) * scale) as f32);
            *norm = length as f32;
        });
    }

    /// Turns dy into dx where it lies.
    pub fn backward(d: usize, y: &[f32], norms: &[f32], dy: &mut [f32]) {
        dy.par_chunks_mut(d).zip(y.par_chunks(d)).zip(norms).for_each(|((dy, y), &norm)| {
            let norm = f64::from(norm);
            let (scale, radial) =
                if norm < EPSILON { (1.0 / EPSILON, 0.0) } else { (1.0 / norm, dot(dy, y)) };
            dy.iter_mut()
                .zip(y)
                .for_each(|(dy, &y)| *dy = ((f64::from(*dy) - radial * f64::from(y)) * scale) as f32);
        });
    }
}
