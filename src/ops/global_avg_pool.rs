//! Global average pooling: the mean of the last feature map over its positions is the feature vector (pool5).
//!
//! y[n, c] = 1 / (H W) sum x[n, h, w, c]; dx[n, h, w, c] = dy[n, c] / (H W). Nothing is saved. The features are f32 for
//! every type of activations.
//!
//! Book: [chapter 9](../../../../../docs/book/src/09-resnet.md) has it in its network;
//! [chapter 8](../../../../../docs/book/src/08-normalise.md) explains pooling.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Computes the mean over H and W of `x` `[N, H, W, C]`: `[N, C]`.
///
/// # Errors
/// If `x` does not have four dimensions, or H, W or C is 0.
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
    let mut y = Tensor::empty(&tape.device(), output, DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &x.value, &mut y)?,
    }
    Ok(tape.record(y, &[x.handle()], |_| GlobalAvgPoolBackward))
}

struct GlobalAvgPoolBackward;

impl Backward for GlobalAvgPoolBackward {
    fn op(&self) -> &'static str {
        "global_avg_pool"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |dx, mode| match dy.gpu() {
            None => {
                cpu::backward(&dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &dy, dx, mode),
        })
    }
}

mod cpu {
    use crate::element::{GradMode, Real, Shape, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Channels that are summed together: 16 f64 sums fit in registers or the first-level cache.
    const LANES: usize = 16;

    /// The number of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(image: Shape) -> (usize, usize) {
        (image.dims()[1] * image.dims()[2], image.last())
    }

    pub fn forward(x: &Tensor, y: &mut Tensor) {
        let sizes = sizes(x.shape());
        with_real!(x, E => means::<E>(sizes, x.reals(), y.f32_mut()));
    }

    fn means<E: Real>((positions, c): (usize, usize), x: &[E], y: &mut [f32]) {
        let images = y.par_chunks_mut(c).zip(x.par_chunks(positions * c));
        images.for_each(|(y, x)| {
            for (block, y) in y.chunks_mut(LANES).enumerate() {
                // The sum is f64, so that its rounding error does not grow with the number of positions.
                let mut sums = [0.0_f64; LANES];
                for row in x.chunks_exact(c) {
                    let row = &row[block * LANES..][..y.len()];
                    sums.iter_mut().zip(row).for_each(|(s, x)| *s += f64::from(x.widen()));
                }
                y.iter_mut().zip(sums).for_each(|(y, s)| *y = (s / positions as f64) as f32);
            }
        });
    }

    pub fn backward(dy: &Tensor, dx: &mut Tensor, mode: GradMode) {
        let sizes = sizes(dx.shape());
        with_real!(dx, E => shares::<E>(sizes, dy.f32(), dx.reals_mut(), mode));
    }

    fn shares<E: Real>((positions, c): (usize, usize), dy: &[f32], dx: &mut [E], mode: GradMode) {
        let share = 1.0 / positions as f32;
        let images = dx.par_chunks_mut(positions * c).zip(dy.par_chunks(c));
        images.for_each(|(dx, dy)| {
            for dx in dx.chunks_exact_mut(c) {
                mode.store(dx, dy.iter().map(|dy| dy * share));
            }
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::{DType, GradMode, Shape};
    use crate::tensor::Tensor;

    /// The number of images, of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(images: Shape) -> [usize; 3] {
        let dims = images.dims();
        [dims[0], dims[1] * dims[2], images.last()]
    }

    /// Channels per thread.
    fn width(dtype: DType, c: usize) -> usize {
        let pack = 16 / dtype.bytes();
        if c.is_multiple_of(pack) { pack } else { 1 }
    }

    pub fn forward(gpu: &CudaDevice, x: &Tensor, y: &mut Tensor) -> Result<()> {
        let ([n, positions, c], dtype) = (sizes(x.shape()), x.dtype());
        let grid = Grid::tiles([n, c.div_ceil(32 * width(dtype, c)), 1]);
        gpu.launch(grid, kernels::GlobalAvgPoolForward { x: x.into(), y: y.into(), positions, c })
    }

    pub fn backward(gpu: &CudaDevice, dy: &Tensor, dx: &mut Tensor, mode: GradMode) -> Result<()> {
        let [n, positions, c] = sizes(dx.shape());
        let grid = Grid::tiles([n, positions.min(65_535), 1]);
        let accumulate = mode.flag();
        let kernel =
            kernels::GlobalAvgPoolBackward { dy: dy.into(), dx: dx.into(), accumulate, positions, c };
        gpu.launch(grid, kernel)
    }
}
