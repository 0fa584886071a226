//! Mean over an image's positions: the last feature map becomes the feature vector (pool5).
//!
//! y[n, c] = 1 / (H W) sum x[n, h, w, c]; dx[n, h, w, c] = dy[n, c] / (H W). Nothing is saved.

use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};

/// The mean over H and W of `x` `[N, H, W, C]`: `[N, C]`.
///
/// # Errors
/// If `x` has other than four dimensions, or its images have no positions.
pub fn global_avg_pool(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let output = match x.shape().nhwc() {
        Some([n, h, w, c]) if h > 0 && w > 0 && c > 0 => [n, c],
        _ => {
            return Err(Error::shape(
                "global_avg_pool",
                format!("x is {}; it must be [N, H, W, C] with H, W and C at least 1", x.shape()),
            ));
        }
    };
    let mut y = Tensor::empty(&tape.device(), output, DType::F32);
    cpu::forward(&x.value, &mut y);
    Ok(tape.record(y, &[x.handle()], |_| Saved))
}

struct Saved;

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "global_avg_pool"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |dx, write| {
            cpu::backward(&dy, dx, write);
            Ok(())
        })
    }
}

mod cpu {
    use crate::tensor::{Shape, Tensor, Write};
    use rayon::prelude::*;

    /// Channels that are summed together: 16 f64 sums fit in registers or next to them.
    const LANES: usize = 16;

    /// Positions of an image `[N, H, W, C]`, and its channels.
    fn sizes(image: Shape) -> (usize, usize) {
        (image.dims()[1] * image.dims()[2], image.last())
    }

    pub fn forward(x: &Tensor, y: &mut Tensor) {
        let (positions, c) = sizes(x.shape());
        let images = y.f32_mut().par_chunks_mut(c).zip(x.f32().par_chunks(positions * c));
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

    pub fn backward(dy: &Tensor, dx: &mut Tensor, write: Write) {
        let (positions, c) = sizes(dx.shape());
        let share = 1.0 / positions as f32;
        let images = dx.f32_mut().par_chunks_mut(positions * c).zip(dy.f32().par_chunks(c));
        images.for_each(|(dx, dy)| {
            for dx in dx.chunks_exact_mut(c) {
                write.store(dx, dy.iter().map(|dy| dy * share));
            }
        });
    }
}
