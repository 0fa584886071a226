//! Batch normalisation over all dimensions but the last, with the epilogue of a residual block fused into it:
//! y = relu(gamma (x - mean) / sqrt(var + eps) + beta + residual), residual and relu optional.
//!
//! Statistics come from the batch (Ioffe and Szegedy 2015) or, frozen and in inference, from running
//! averages. With g = dy but 0 where relu gives y <= 0, x^ the normalised input and R values a channel:
//!
//! - dbeta = sum g; dgamma = sum g x^; the residual's gradient is g;
//! - dx = gamma / std (g - dbeta / R - x^ dgamma / R) with batch statistics, gamma / std g with frozen ones.
//!
//! Memory traffic decides the speed, so passes are counted. Forward: one read of x for the statistics, one
//! pass that writes y. Backward: one pass for the sums, one that turns the saved x into dx where it lies.
//! Without a residual the sign of y follows from x, and y is not read again. With one, the first pass masks
//! dy where it lies, and that buffer becomes the residual's gradient. When only dx = gamma / std g is asked
//! for (frozen, gamma and beta not learned) x is not saved and the forward works in place.
//!
//! The rectifier treats NaN as [`crate::ops::relu`] does: it stays, and lets its gradient through.

mod cpu;
mod cuda;
mod moments;

use crate::autograd::{Backward, BufferId, Sinks, Tape, Var};
use crate::ops::relu;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Added to the variance, as Caffe's ResNet and torchvision do.
pub const EPS: f32 = 1e-5;

/// Scale and shift, and the running statistics; `[C]` each.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// gamma.
    pub gamma: Var,
    /// beta.
    pub beta: Var,
    /// The running mean.
    pub mean: BufferId,
    /// The running variance.
    pub var: BufferId,
}

/// What to normalise with while training. Inference (a tape that does not record) always takes the running
/// statistics and leaves them alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// The batch's own, which also move the running ones (PyTorch's convention):
    /// running = (1 - momentum) running + momentum batch, with the unbiased variance.
    Batch {
        /// Weight of the new batch, in [0, 1].
        momentum: f32,
    },
    /// The running ones, as constants.
    Frozen,
}

/// What follows the normalisation in the same pass.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    /// Added before the rectifier; of x's shape.
    pub residual: Option<Var>,
    /// Whether a rectifier ends it.
    pub relu: bool,
}

/// Batch normalisation of `x` `[.., C]`; the output has its shape.
///
/// # Errors
/// If gamma, beta or a running statistic is not `[C]`, if the residual is not of x's shape, or if a channel
/// has fewer than two values to take batch statistics from.
pub fn batchnorm(
    tape: &mut Tape<'_>,
    x: Var,
    bn: BatchNorm,
    statistics: Statistics,
    epilogue: Epilogue,
) -> Result<Var> {
    check(tape, &x, &bn, &epilogue)?;
    let mut inputs = vec![x.handle(), bn.gamma.handle(), bn.beta.handle()];
    inputs.extend(epilogue.residual.as_ref().map(Var::handle));
    let mut x = x.value;

    let momentum = match statistics {
        Statistics::Batch { momentum } if tape.is_recording() => Some(momentum),
        _ => None,
    };
    let rows = x.shape().len() / x.shape().last();
    if momentum.is_some() && rows < 2 {
        return Err(Error::shape(
            "batchnorm",
            format!(
                "batch statistics need at least 2 values a channel, x {} has {rows}; use a larger batch or frozen \
                 statistics",
                x.shape()
            ),
        ));
    }
    let affine = match x.gpu().cloned() {
        None => cpu::affine(tape, &x, &bn, momentum)?,
        Some(gpu) => cuda::affine(&gpu, tape, &x, &bn, momentum)?,
    };

    let [wants_x, wants_gamma, wants_beta] = [0, 1, 2].map(|i| tape.wants(inputs[i]));
    let keeps_x = wants_gamma || wants_beta || (momentum.is_some() && wants_x);
    let residual = epilogue.residual.map(|r| r.value);
    let (y, x) = if !keeps_x && x.is_unique() {
        match x.gpu().cloned() {
            None => cpu::forward(&mut x, None, &affine, residual.as_ref(), epilogue.relu),
            Some(gpu) => cuda::forward(&gpu, &mut x, None, &affine, residual.as_ref(), epilogue.relu)?,
        }
        (x, None)
    } else {
        let mut y = Tensor::empty(&tape.device(), x.shape(), x.dtype())?;
        match x.gpu() {
            None => cpu::forward(&mut y, Some(&x), &affine, residual.as_ref(), epilogue.relu),
            Some(gpu) => cuda::forward(gpu, &mut y, Some(&x), &affine, residual.as_ref(), epilogue.relu)?,
        }
        (y, keeps_x.then_some(x))
    };
    let has_residual = residual.is_some();
    Ok(tape.record(y, &inputs, |y| {
        let keeps_y = epilogue.relu && (x.is_none() || has_residual);
        Saved {
            x,
            y: keeps_y.then_some(y),
            affine,
            batch: momentum.is_some(),
            relu: epilogue.relu,
            residual: has_residual,
        }
    }))
}

fn check(tape: &Tape<'_>, x: &Var, bn: &BatchNorm, epilogue: &Epilogue) -> Result<()> {
    let c = x.shape().last();
    if c == 0 {
        return Err(Error::shape("batchnorm", format!("x {} has no channels", x.shape())));
    }
    let channels = [
        ("gamma", bn.gamma.shape()),
        ("beta", bn.beta.shape()),
        ("running mean", tape.buffer(bn.mean).shape()),
        ("running variance", tape.buffer(bn.var).shape()),
    ];
    for (name, shape) in channels {
        if shape.dims() != [c] {
            return Err(Error::shape(
                "batchnorm",
                format!("x {} has {c} channels, but {name} is {shape}; it must be [{c}]", x.shape()),
            ));
        }
    }
    match &epilogue.residual {
        Some(r) if (r.shape(), r.value.dtype()) != (x.shape(), x.value.dtype()) => Err(Error::shape(
            "batchnorm",
            format!("the residual is {}; it must have the shape of x, {}", r.shape(), x.shape()),
        )),
        _ => Ok(()),
    }
}

const X: usize = 0;
const GAMMA: usize = 1;
const BETA: usize = 2;
const RESIDUAL: usize = 3;

struct Saved {
    /// The input, unless dx = gamma / std g is all that is asked for.
    x: Option<Tensor>,
    /// The output, if the rectifier's mask does not follow from x alone.
    y: Option<Tensor>,
    /// f32 `[5, C]`: the normalisation as the loops use it ([`cpu::Affine`]).
    affine: Tensor,
    batch: bool,
    relu: bool,
    residual: bool,
}

/// Which elements of dy get through the rectifier, as the kernels number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mask {
    /// All: there is no rectifier, or dy is masked already.
    Off = 0,
    /// Where the saved output is positive or NaN.
    Output = 1,
    /// Where the output, computed again from x, is positive or NaN.
    Recomputed = 2,
}

/// dx = scale g, and with batch statistics + (x - mean) slope + offset; g is dy behind the mask.
struct InputGradient<'a> {
    affine: &'a Tensor,
    /// f32 `[2, C]`, slope and offset; none with frozen statistics.
    correction: Option<&'a Tensor>,
    mask: Mask,
    /// The saved output, for [`Mask::Output`].
    y: Option<&'a Tensor>,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        "batchnorm"
    }

    /// The plan of both devices: which passes run, and which buffer each may reuse.
    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let Saved { x, y, affine, batch, relu, residual } = *self;
        let gpu = dy.gpu().cloned();
        let give_residual = residual && sinks.wants(RESIDUAL);
        let mut mask = match &y {
            Some(_) => Mask::Output,
            None if relu => Mask::Recomputed,
            None => Mask::Off,
        };
        let mut correction = None;
        if let Some(x) = &x {
            // The pass of dx can find the mask again from x, which it reads for batch statistics alone. Else dy is masked
            // now, while it is at hand; so is the gradient of a residual, which is dy itself.
            let mask_dy = mask == Mask::Output || mask == Mask::Recomputed && !batch;
            let saved = (x, y.as_ref(), &affine);
            correction = match &gpu {
                None => cpu::parameter_gradients(&mut dy, saved, (mask, mask_dy, batch), sinks)?,
                Some(gpu) => cuda::parameter_gradients(gpu, &mut dy, saved, (mask, mask_dy, batch), sinks)?,
            };
            if mask_dy {
                mask = Mask::Off;
            }
        } else if let (true, Some(y)) = (give_residual, &y) {
            match &gpu {
                None => cpu::mask_in_place(&mut dy, y),
                Some(gpu) => relu::cuda::backward(gpu, y, &mut dy)?,
            }
            mask = Mask::Off;
        }

        if sinks.wants(X) {
            // Freed before dx is allocated, where no pass reads them.
            let (mut x, y) = (x.filter(|_| batch), y.filter(|_| mask == Mask::Output));
            let x_is_free = x.as_mut().is_some_and(Tensor::is_unique);
            let pass =
                InputGradient { affine: &affine, correction: correction.as_ref(), mask, y: y.as_ref() };
            match x {
                Some(mut x) if x_is_free => {
                    match &gpu {
                        None => cpu::dx_in_place_of_x(&pass, &mut x, &dy),
                        Some(gpu) => cuda::dx_in_place_of_x(gpu, &pass, &mut x, &dy)?,
                    }
                    sinks.give(X, x)?;
                }
                None if !give_residual => {
                    match &gpu {
                        None => cpu::dx_in_place_of_dy(&pass, &mut dy),
                        Some(gpu) => cuda::dx_in_place_of_dy(gpu, &pass, &mut dy)?,
                    }
                    return sinks.give(X, dy);
                }
                x => {
                    let mut dx = Tensor::empty(sinks.device(), dy.shape(), dy.dtype())?;
                    match &gpu {
                        None => cpu::dx(&pass, &mut dx, x.as_ref(), &dy),
                        Some(gpu) => cuda::dx(gpu, &pass, &mut dx, x.as_ref(), &dy)?,
                    }
                    sinks.give(X, dx)?;
                }
            }
        }
        if give_residual { sinks.give(RESIDUAL, dy) } else { Ok(()) }
    }
}
