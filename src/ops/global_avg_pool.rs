//! Mean over an image's positions: the last feature map becomes the feature vector (pool5).
//!
//! y[n, c] = 1 / (H W) sum x[n, h, w, c]; dx[n, h, w, c] = dy[n, c] / (H W). Nothing is saved but the shape.

use crate::tensor::{Backward, DType, Shape, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};

/// The mean over H and W of `x` `[N, H, W, C]`: `[N, C]`.
///
/// # Errors
/// If `x` has other than four dimensions, or its images have no positions.
pub fn global_avg_pool(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let [n, h, w, c] = match x.shape().nhwc() {
        Some(sizes) if sizes[1..].iter().all(|&size| size > 0) => sizes,
        _ => {
            return Err(Error::shape(
                "global_avg_pool",
                format!("x is {}; it must be [N, H, W, C] with H, W and C at least 1", x.shape()),
            ));
        }
    };
    let mut y = Tensor::empty(&tape.device(), [n, c], DType::F32);
    cpu::forward(x.value.f32(), h * w, y.f32_mut(), c);
    Ok(tape.record(y, &[x.handle()], |_| Saved { x: x.shape() }))
}

struct Saved {
    x: Shape,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "global_avg_pool"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let positions = self.x.dims()[1] * self.x.dims()[2];
        sinks.add(0, |dx, write| {
            cpu::backward(dy.f32(), positions, dx.f32_mut(), self.x.last(), write);
            Ok(())
        })
    }
}

mod cpu {
    use crate::tensor::Write;
    use rayon::prelude::*;

    /// Channels that are summed together: 16 f64 sums fit in registers or next to them.
    const LANES: usize = 16;

    pub fn forward(x: &[f32], positions: usize, y: &mut [f32], c: usize) {
        let images = y.par_chunks_mut(c).zip(x.par_chunks(positions * c));
        images.for_each(|(y, x)| {
            for (block, y) in y.chunks_mut(LANES).enumerate() {
                // In f64, so that the length of the sum does not matter.
                let mut sums = [0.0_f64; LANES];
                for row in x.chunks_exact(c) {
                    let row = &row[block * LANES..][..y.len()];
                    sums.iter_mut().zip(row).for_each(|(s, &x)| *s += f64::from(x));
                }
                y.iter_mut().zip(sums).for_each(|(y, s)| *y = (s / positions as f64) as f32);
            }
        });
    }

    pub fn backward(dy: &[f32], positions: usize, dx: &mut [f32], c: usize, write: Write) {
        let share = 1.0 / positions as f32;
        dx.par_chunks_mut(positions * c).zip(dy.par_chunks(c)).for_each(|(dx, dy)| {
            for dx in dx.chunks_exact_mut(c) {
                write.store(dx, dy.iter().map(|dy| dy * share));
            }
        });
    }
}
