//! Instance normalisation (Ulyanov et al. 2016): each channel of each image by its own mean and variance over the
//! positions, y = gamma (x - mean) / sqrt(var + eps) + beta. The variance is the biased one, in training and in
//! inference alike; there are no running statistics.
//!
//! With x^ the normalised input and the means over the positions of one channel of one image:
//!
//! - dx = gamma / std (dy - mean(dy) - x^ mean(dy x^));
//! - dgamma = sum of dy x^, dbeta = sum of dy, over images and positions.
//!
//! Saved are x and, for each channel of each image, the mean and 1 / std.
//!
//! Book: [chapter 8](../../../../../docs/book/src/08-normalise.md) explains batch normalisation; no chapter explains
//! the statistics of one image.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The constant added to the variance, as in batch normalisation and PyTorch.
pub const EPS: f32 = 1e-5;

const X: usize = 0;
const GAMMA: usize = 1;
const BETA: usize = 2;

/// Normalises `x` `[N, H, W, C]` with `gamma` and `beta` `[C]`; the output has the shape of `x`. A channel with one
/// position is beta.
///
/// # Errors
/// If `x` does not have four dimensions or one of them is 0, or if gamma or beta is not `[C]`.
pub fn instancenorm(tape: &mut Tape<'_>, x: Var, gamma: Var, beta: Var) -> Result<Var> {
    let (n, c) = match x.shape().nhwc() {
        Some([n, h, w, c]) if n > 0 && h > 0 && w > 0 && c > 0 => (n, c),
        _ => {
            return Err(Error::shape(
                "instancenorm",
                format!("x is {}; it must be [N, H, W, C] with each at least 1", x.shape()),
            ));
        }
    };
    for (name, shape) in [("gamma", gamma.shape()), ("beta", beta.shape())] {
        if shape.dims() != [c] {
            return Err(Error::shape(
                "instancenorm",
                format!("x {} has {c} channels, but {name} is {shape}; it must be [{c}]", x.shape()),
            ));
        }
    }
    let mut statistics = Tensor::empty(&tape.device(), [2, n, c], DType::F32)?;
    let mut y = Tensor::empty(&tape.device(), x.shape(), x.value.dtype())?;
    let parameters = [&gamma.value, &beta.value];
    match x.value.gpu() {
        None => {
            check::f32s("instancenorm", [("gamma", &gamma.value), ("beta", &beta.value)])?;
            cpu::forward(&x.value, parameters, &mut statistics, &mut y);
        }
        Some(gpu) => cuda::forward(gpu, &x.value, parameters, &mut statistics, &mut y)?,
    }
    let inputs = [x.handle(), gamma.handle(), beta.handle()];
    let (x, gamma) = (x.value, gamma.value);
    Ok(tape.record(y, &inputs, |_| InstanceNormBackward { x, gamma, statistics }))
}

struct InstanceNormBackward {
    x: Tensor,
    gamma: Tensor,
    /// The means, then 1 / std: f32 `[2, N, C]`.
    statistics: Tensor,
}

impl Backward for InstanceNormBackward {
    fn op(&self) -> &'static str {
        "instancenorm"
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        // Of each channel of each image the sums of dy x^ and of dy, f32 [2, N, C].
        let mut sums = Tensor::empty(sinks.device(), self.statistics.shape(), DType::F32)?;
        match dy.gpu() {
            None => cpu::sums(&self, &dy, &mut sums),
            Some(gpu) => cuda::sums(gpu, &self, &dy, &mut sums)?,
        }
        for (input, which) in [(GAMMA, 0), (BETA, 1)] {
            sinks.add(input, |gradient, mode| match dy.gpu() {
                None => {
                    cpu::parameter_gradient(&sums, which, gradient, mode);
                    Ok(())
                }
                Some(gpu) => cuda::parameter_gradient(gpu, &sums, which, gradient, mode),
            })?;
        }
        sinks.add(X, |dx, mode| match dy.gpu() {
            None => {
                cpu::input_gradient(&self, &dy, &sums, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::input_gradient(gpu, &self, &dy, &sums, dx, mode),
        })
    }
}

mod cpu {
    use super::{EPS, InstanceNormBackward};
    use crate::element::{GradMode, Real, Shape, with_real};
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// The number of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(image: Shape) -> (usize, usize) {
        (image.dims()[1] * image.dims()[2], image.last())
    }

    /// For each channel the sums over the rows of two functions of its values, in f64.
    fn column_sums(
        c: usize,
        rows: impl Iterator<Item = usize>,
        of: impl Fn(usize, usize) -> [f64; 2],
    ) -> [Vec<f64>; 2] {
        let (mut first, mut second) = (vec![0.0; c], vec![0.0; c]);
        for row in rows {
            for (k, (first, second)) in first.iter_mut().zip(&mut second).enumerate() {
                let [a, b] = of(row, k);
                *first += a;
                *second += b;
            }
        }
        [first, second]
    }

    pub fn forward(x: &Tensor, parameters: [&Tensor; 2], statistics: &mut Tensor, y: &mut Tensor) {
        with_real!(x, E => normalise::<E>(x, parameters, statistics, y));
    }

    fn normalise<E: Real>(x: &Tensor, [gamma, beta]: [&Tensor; 2], statistics: &mut Tensor, y: &mut Tensor) {
        let (positions, c) = sizes(x.shape());
        let (gamma, beta) = (gamma.f32(), beta.f32());
        let half = statistics.shape().len() / 2;
        let (means, factors) = statistics.f32_mut().split_at_mut(half);
        let images =
            y.reals_mut::<E>().par_chunks_mut(positions * c).zip(x.reals::<E>().par_chunks(positions * c));
        images.zip(means.par_chunks_mut(c).zip(factors.par_chunks_mut(c))).for_each(
            |((y, x), (means, factors))| {
                let value = |row: usize, k: usize| f64::from(x[row * c + k].widen());
                let [sums, _] = column_sums(c, 0..positions, |row, k| [value(row, k), 0.0]);
                let mean: Vec<f64> = sums.iter().map(|sum| sum / positions as f64).collect();
                let [squares, _] =
                    column_sums(c, 0..positions, |row, k| [(value(row, k) - mean[k]).powi(2), 0.0]);
                for (k, (own, factor)) in means.iter_mut().zip(factors.iter_mut()).enumerate() {
                    *own = mean[k] as f32;
                    *factor = (1.0 / (squares[k] / positions as f64 + f64::from(EPS)).sqrt()) as f32;
                }
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    for (k, (y, x)) in y.iter_mut().zip(x).enumerate() {
                        *y = E::narrow((x.widen() - means[k]) * (gamma[k] * factors[k]) + beta[k]);
                    }
                }
            },
        );
    }

    pub fn sums(saved: &InstanceNormBackward, dy: &Tensor, sums: &mut Tensor) {
        with_real!(dy, E => channel_sums::<E>(saved, dy, sums));
    }

    fn channel_sums<E: Real>(saved: &InstanceNormBackward, dy: &Tensor, sums: &mut Tensor) {
        let (positions, c) = sizes(dy.shape());
        let half = sums.shape().len() / 2;
        let (means, factors) = saved.statistics.f32().split_at(half);
        let (of_products, of_dy) = sums.f32_mut().split_at_mut(half);
        let images =
            dy.reals::<E>().par_chunks(positions * c).zip(saved.x.reals::<E>().par_chunks(positions * c));
        let statistics = means.par_chunks(c).zip(factors.par_chunks(c));
        let out = of_products.par_chunks_mut(c).zip(of_dy.par_chunks_mut(c));
        images.zip(statistics).zip(out).for_each(|(((dy, x), (means, factors)), (of_products, of_dy))| {
            let [products, plain] = column_sums(c, 0..positions, |row, k| {
                let [dy, x] = [dy, x].map(|values| f64::from(values[row * c + k].widen()));
                [dy * (x - f64::from(means[k])) * f64::from(factors[k]), dy]
            });
            of_products.iter_mut().zip(products).for_each(|(to, sum)| *to = sum as f32);
            of_dy.iter_mut().zip(plain).for_each(|(to, sum)| *to = sum as f32);
        });
    }

    /// The sum over the images of part `which` of the sums.
    pub fn parameter_gradient(sums: &Tensor, which: usize, gradient: &mut Tensor, mode: GradMode) {
        let c = gradient.shape().len();
        let own = &sums.f32()[which * sums.shape().len() / 2..][..sums.shape().len() / 2];
        let [total, _] = column_sums(c, 0..own.len() / c, |row, k| [f64::from(own[row * c + k]), 0.0]);
        mode.store(gradient.f32_mut(), total.iter().map(|sum| *sum as f32));
    }

    pub fn input_gradient(
        saved: &InstanceNormBackward,
        dy: &Tensor,
        sums: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) {
        with_real!(dy, E => gradient::<E>(saved, dy, sums, dx, mode));
    }

    fn gradient<E: Real>(
        saved: &InstanceNormBackward,
        dy: &Tensor,
        sums: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) {
        let (positions, c) = sizes(dy.shape());
        let gamma = saved.gamma.f32();
        let (means, factors) = saved.statistics.f32().split_at(sums.shape().len() / 2);
        let (of_products, of_dy) = sums.f32().split_at(sums.shape().len() / 2);
        let share = 1.0 / positions as f32;
        let images = dx.reals_mut::<E>().par_chunks_mut(positions * c).enumerate();
        images.for_each(|(image, dx)| {
            let [means, factors, of_products, of_dy] =
                [means, factors, of_products, of_dy].map(|values| &values[image * c..][..c]);
            let from = image * positions * c;
            for (row, dx) in dx.chunks_exact_mut(c).enumerate() {
                let x = &saved.x.reals::<E>()[from + row * c..][..c];
                let dy = &dy.reals::<E>()[from + row * c..][..c];
                let values = (0..c).map(|k| {
                    let normalised = (x[k].widen() - means[k]) * factors[k];
                    gamma[k]
                        * factors[k]
                        * (dy[k].widen() - of_dy[k] * share - normalised * (of_products[k] * share))
                });
                mode.store(dx, values);
            }
        });
    }
}

mod cuda {
    use super::InstanceNormBackward;
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::{GradMode, Shape};
    use crate::tensor::Tensor;

    /// The number of images, of positions of an image and of channels, of a shape `[N, H, W, C]`.
    fn sizes(images: Shape) -> [usize; 3] {
        let dims = images.dims();
        [dims[0], dims[1] * dims[2], images.last()]
    }

    /// A block for 32 channels of an image.
    fn by_channels(n: usize, c: usize) -> Grid {
        Grid::tiles([n, c.div_ceil(32), 1])
    }

    pub fn forward(
        gpu: &CudaDevice,
        x: &Tensor,
        [gamma, beta]: [&Tensor; 2],
        statistics: &mut Tensor,
        y: &mut Tensor,
    ) -> Result<()> {
        let [n, positions, c] = sizes(x.shape());
        let kernel = kernels::InstancenormForward {
            x: x.into(),
            gamma: gamma.into(),
            beta: beta.into(),
            statistics: statistics.into(),
            y: y.into(),
            positions,
            c,
        };
        gpu.launch(by_channels(n, c), kernel)
    }

    pub fn sums(
        gpu: &CudaDevice,
        saved: &InstanceNormBackward,
        dy: &Tensor,
        sums: &mut Tensor,
    ) -> Result<()> {
        let [n, positions, c] = sizes(dy.shape());
        let kernel = kernels::InstancenormBackwardSums {
            x: (&saved.x).into(),
            statistics: (&saved.statistics).into(),
            dy: dy.into(),
            sums: sums.into(),
            positions,
            c,
        };
        gpu.launch(by_channels(n, c), kernel)
    }

    pub fn parameter_gradient(
        gpu: &CudaDevice,
        sums: &Tensor,
        which: usize,
        gradient: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let (c, n) = (gradient.shape().len(), sums.shape().dims()[1]);
        let kernel = kernels::InstancenormBackwardParameter {
            sums: sums.into(),
            gradient: gradient.into(),
            accumulate: mode.flag(),
            which,
            n,
            c,
        };
        gpu.launch(Grid::tiles([c.div_ceil(256), 1, 1]), kernel)
    }

    pub fn input_gradient(
        gpu: &CudaDevice,
        saved: &InstanceNormBackward,
        dy: &Tensor,
        sums: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let [n, positions, c] = sizes(dy.shape());
        let kernel = kernels::InstancenormBackwardInput {
            x: (&saved.x).into(),
            gamma: (&saved.gamma).into(),
            statistics: (&saved.statistics).into(),
            sums: sums.into(),
            dy: dy.into(),
            dx: dx.into(),
            accumulate: mode.flag(),
            positions,
            c,
        };
        gpu.launch(Grid::tiles([n, positions.min(65_535), 1]), kernel)
    }
}
