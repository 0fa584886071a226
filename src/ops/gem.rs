//! Generalised-mean pooling, GeM (Radenovic, Tolias and Chum 2018): y = (mean of x^p)^(1/p) over the positions of the
//! last feature map, with one exponent p for all channels, which is learnt. p = 1 is the mean, a large p nearly the
//! maximum.
//!
//! Each x is raised to [`EPS`] first, so that its power and its logarithm exist. With t = max(x, EPS) / y and P
//! positions:
//!
//! - dx = dy t^(p-1) / P where x >= EPS, else 0;
//! - dp = sum over images and channels of dy (y / p) (mean of t^p ln t).
//!
//! The second line follows from ln y = ln(mean of x^p) / p and mean t^p = 1. Powers are those of ratios: in the forward
//! pass to the largest value M of the channel, y = M (mean of (x / M)^p)^(1/p), and in the backward pass to y. So a
//! power neither overflows nor vanishes for a channel that is small as a whole. Saved are x, y and p. The features are
//! f32 for every type of activations.
//!
//! Book: [chapter 8](../../../../../docs/book/src/08-normalise.md) explains pooling by the maximum; no chapter explains
//! this mean.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The least value that is pooled, as in the authors' program.
pub const EPS: f32 = 1e-6;

const X: usize = 0;
const P: usize = 1;

/// Pools `x` `[N, H, W, C]` over H and W with the exponent `p` f32 `[1]`: f32 `[N, C]`. A p of 0 gives NaN.
///
/// # Errors
/// If `x` does not have four dimensions, or H, W or C is 0; if `p` is not f32 `[1]`.
pub fn gem(tape: &mut Tape<'_>, x: Var, p: Var) -> Result<Var> {
    let output = match x.shape().nhwc() {
        Some([n, h, w, c]) if h > 0 && w > 0 && c > 0 => [n, c],
        _ => {
            return Err(Error::shape(
                "gem",
                format!("x is {}; it must be [N, H, W, C] with H, W and C at least 1", x.shape()),
            ));
        }
    };
    check::scalar("gem", "p", &p.value)?;
    let mut y = Tensor::empty(&tape.device(), output, DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, &p.value, &mut y),
        Some(gpu) => cuda::forward(gpu, &x.value, &p.value, &mut y)?,
    }
    let inputs = [x.handle(), p.handle()];
    let (x, p) = (x.value, p.value);
    Ok(tape.record(y, &inputs, |y| GemBackward { x, p, y }))
}

struct GemBackward {
    x: Tensor,
    p: Tensor,
    y: Tensor,
}

impl Backward for GemBackward {
    fn op(&self) -> &'static str {
        "gem"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(X, |dx, mode| match dy.gpu() {
            None => {
                cpu::input_gradient(&self, &dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::input_gradient(gpu, &self, &dy, dx, mode),
        })?;
        let device = sinks.device().clone();
        sinks.add(P, |dp, mode| match dy.gpu() {
            None => {
                cpu::exponent_gradient(&self, &dy, dp, mode);
                Ok(())
            }
            Some(gpu) => cuda::exponent_gradient(gpu, &device, &self, &dy, dp, mode),
        })
    }
}

mod cpu {
    use super::{EPS, GemBackward};
    use crate::element::{GradMode, Real, Shape, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Channels that are summed together: 16 f64 sums fit in registers or the first-level cache.
    const LANES: usize = 16;

    /// The number of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(image: Shape) -> (usize, usize) {
        (image.dims()[1] * image.dims()[2], image.last())
    }

    /// The value that is pooled. A NaN stays one.
    fn raised(x: f32) -> f32 {
        if x < EPS { EPS } else { x }
    }

    pub fn forward(x: &Tensor, p: &Tensor, y: &mut Tensor) {
        let (sizes, p) = (sizes(x.shape()), p.f32()[0]);
        with_real!(x, E => means::<E>(sizes, x.reals(), p, y.f32_mut()));
    }

    fn means<E: Real>((positions, c): (usize, usize), x: &[E], p: f32, y: &mut [f32]) {
        let images = y.par_chunks_mut(c).zip(x.par_chunks(positions * c));
        images.for_each(|(y, x)| {
            for (block, y) in y.chunks_mut(LANES).enumerate() {
                let rows = || x.chunks_exact(c).map(|row| &row[block * LANES..][..y.len()]);
                let mut largest = [EPS; LANES];
                for row in rows() {
                    largest.iter_mut().zip(row).for_each(|(m, x)| *m = m.max(x.widen()));
                }
                let mut sums = [0.0_f64; LANES];
                for row in rows() {
                    let values = sums.iter_mut().zip(&largest).zip(row);
                    values.for_each(|((s, m), x)| *s += f64::from((raised(x.widen()) / m).powf(p)));
                }
                for ((y, s), m) in y.iter_mut().zip(sums).zip(largest) {
                    *y = m * ((s / positions as f64) as f32).powf(1.0 / p);
                }
            }
        });
    }

    pub fn input_gradient(saved: &GemBackward, dy: &Tensor, dx: &mut Tensor, mode: GradMode) {
        with_real!(dx, E => shares::<E>(saved, dy, sizes(dx.shape()), dx.reals_mut(), mode));
    }

    fn shares<E: Real>(
        saved: &GemBackward,
        dy: &Tensor,
        (positions, c): (usize, usize),
        dx: &mut [E],
        mode: GradMode,
    ) {
        let (power, share) = (saved.p.f32()[0] - 1.0, 1.0 / positions as f32);
        let images = dx.par_chunks_mut(positions * c).zip(saved.x.reals::<E>().par_chunks(positions * c));
        let rows = saved.y.f32().par_chunks(c).zip(dy.f32().par_chunks(c));
        images.zip(rows).for_each(|((dx, x), (y, dy))| {
            for (dx, x) in dx.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                let values = x.iter().zip(y).zip(dy).map(|((x, y), dy)| match x.widen() < EPS {
                    true => 0.0,
                    false => dy * share * (x.widen() / y).powf(power),
                });
                mode.store(dx, values);
            }
        });
    }

    /// Sums in f64: of an image first, and then of the images in their order.
    pub fn exponent_gradient(saved: &GemBackward, dy: &Tensor, dp: &mut Tensor, mode: GradMode) {
        let sum = with_real!(saved.x, E => exponent_sum::<E>(saved, dy));
        mode.store(dp.f32_mut(), std::iter::once(sum));
    }

    fn exponent_sum<E: Real>(saved: &GemBackward, dy: &Tensor) -> f32 {
        let (positions, c) = sizes(saved.x.shape());
        let p = saved.p.f32()[0];
        let images = saved.x.reals::<E>().par_chunks(positions * c);
        let rows = saved.y.f32().par_chunks(c).zip(dy.f32().par_chunks(c));
        let of_image = |(x, (y, dy)): (&[E], (&[f32], &[f32]))| {
            let mut sum = 0.0;
            for row in x.chunks_exact(c) {
                for ((x, &y), &dy) in row.iter().zip(y).zip(dy) {
                    let ratio = raised(x.widen()) / y;
                    sum += f64::from(dy) * f64::from(y) * f64::from(ratio.powf(p) * ratio.ln());
                }
            }
            sum
        };
        let sums: Vec<f64> = images.zip(rows).map(of_image).collect();
        (sums.iter().sum::<f64>() / (f64::from(p) * positions as f64)) as f32
    }
}

mod cuda {
    use super::GemBackward;
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::{DType, GradMode, Shape};
    use crate::tensor::Tensor;

    /// The number of images, of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(images: Shape) -> [usize; 3] {
        let dims = images.dims();
        [dims[0], dims[1] * dims[2], images.last()]
    }

    /// A thread for each channel of each image.
    fn by_channel(n: usize, c: usize) -> Grid {
        Grid::tiles([n, c.div_ceil(256), 1])
    }

    pub fn forward(gpu: &CudaDevice, x: &Tensor, p: &Tensor, y: &mut Tensor) -> Result<()> {
        let [n, positions, c] = sizes(x.shape());
        let kernel = kernels::GemForward { x: x.into(), p: p.into(), y: y.into(), positions, c };
        gpu.launch(by_channel(n, c), kernel)
    }

    pub fn input_gradient(
        gpu: &CudaDevice,
        saved: &GemBackward,
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let [n, positions, c] = sizes(dx.shape());
        let kernel = kernels::GemBackwardInput {
            x: (&saved.x).into(),
            p: (&saved.p).into(),
            y: (&saved.y).into(),
            dy: dy.into(),
            dx: dx.into(),
            accumulate: mode.flag(),
            positions,
            c,
        };
        gpu.launch(Grid::tiles([n, positions.min(65_535), 1]), kernel)
    }

    pub fn exponent_gradient(
        gpu: &CudaDevice,
        device: &Device,
        saved: &GemBackward,
        dy: &Tensor,
        dp: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let [n, positions, c] = sizes(saved.x.shape());
        let mut parts = Tensor::empty(device, [n, c], DType::F32)?;
        let kernel = kernels::GemBackwardExponent {
            x: (&saved.x).into(),
            p: (&saved.p).into(),
            y: (&saved.y).into(),
            dy: dy.into(),
            parts: (&mut parts).into(),
            positions,
            c,
        };
        gpu.launch(by_channel(n, c), kernel)?;
        let kernel =
            kernels::GemExponent { parts: (&parts).into(), dp: dp.into(), accumulate: mode.flag(), n: n * c };
        gpu.launch(Grid::tiles([1, 1, 1]), kernel)
    }
}
