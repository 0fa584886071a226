//! Batch normalisation over all dimensions but the last, with the epilogue of a residual block fused into it:
//! y = relu(gamma (x - mean) / sqrt(var + eps) + beta + residual), residual and relu optional.
//!
//! The statistics come from the batch (Ioffe and Szegedy 2015) or, if frozen and in inference, from running averages.
//! With g = dy masked by the ReLU (0 where y <= 0), x^ the normalised input and R values per channel:
//!
//! - dbeta = sum g; dgamma = sum g x^; the residual's gradient is g;
//! - dx = gamma / std (g - dbeta / R - x^ dgamma / R) with batch statistics, gamma / std g with frozen ones.
//!
//! Memory bandwidth limits the speed, so the number of passes matters. Forward: one read of x for the statistics, one
//! pass that writes y. Backward: one pass for the sums, one that overwrites the saved x with dx. Without a residual the
//! sign of y follows from x, and y is not read again. With a residual, the first pass masks dy in place, and that
//! buffer becomes the residual's gradient. If only dx = gamma / std g is needed (frozen statistics, gamma and beta
//! without gradient), x is not saved and the forward pass works in place.
//!
//! The ReLU treats NaN as [`crate::ops::relu`] does: NaN stays NaN and passes its gradient.

mod cpu;
mod cuda;
mod moments;

use crate::autograd::{Backward, BufferId, ParamId, Sinks, Tape, Var};
use crate::ops::relu;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The constant added to the variance, as in Caffe's ResNet and torchvision.
pub const EPS: f32 = 1e-5;

/// The parameters and running statistics of a batch-normalisation layer; `[C]` each.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// The scale gamma.
    pub gamma: Var,
    /// The shift beta.
    pub beta: Var,
    /// The running mean.
    pub mean: BufferId,
    /// The running variance.
    pub var: BufferId,
}

/// The source of the statistics in training. Inference (a tape that does not record) always uses the running
/// statistics and does not change them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistics {
    /// The statistics of the batch, which also update the running statistics (PyTorch's convention):
    /// running = (1 - momentum) running + momentum batch, with the unbiased variance.
    Batch {
        /// The weight of the new batch, in [0, 1].
        momentum: f32,
    },
    /// The running statistics, as constants.
    Frozen,
}

impl Statistics {
    /// These statistics, or the running ones if the scale `gamma` is frozen: such a layer keeps its statistics.
    pub fn unless_frozen(self, tape: &Tape<'_>, gamma: ParamId) -> Self {
        if tape.is_frozen(gamma) { Statistics::Frozen } else { self }
    }
}

/// The epilogue: operations that follow the normalisation in the same pass.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    /// A tensor of the shape of x, which is added before the ReLU.
    pub residual: Option<Var>,
    /// Applies a ReLU at the end.
    pub relu: bool,
}

/// Computes the batch normalisation of `x` `[.., C]`; the output has the shape of `x`.
///
/// # Errors
/// If gamma, beta or a running statistic is not `[C]`, if the residual does not have the shape and type of x, or if a
/// channel has fewer than two values for batch statistics.
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
                "batch statistics need at least 2 values per channel, x {} has {rows}; use a larger batch or frozen \
                 statistics",
                x.shape()
            ),
        ));
    }
    let affine = match x.gpu().cloned() {
        None => cpu::affine(tape, &x, &bn, momentum)?,
        Some(gpu) => cuda::affine(&gpu, tape, &x, &bn, momentum)?,
    };

    let [needs_dx, needs_dgamma, needs_dbeta] = [0, 1, 2].map(|i| tape.needs_grad(inputs[i]));
    let keeps_x = needs_dgamma || needs_dbeta || (momentum.is_some() && needs_dx);
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
        BatchNormBackward {
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
            format!(
                "the residual is {} {}; it must have the type and shape of x, {} {}",
                r.value.dtype(),
                r.shape(),
                x.value.dtype(),
                x.shape()
            ),
        )),
        _ => Ok(()),
    }
}

const X: usize = 0;
const GAMMA: usize = 1;
const BETA: usize = 2;
const RESIDUAL: usize = 3;

struct BatchNormBackward {
    /// The input, unless only dx = gamma / std g is needed.
    x: Option<Tensor>,
    /// The output, if the ReLU's mask does not follow from x alone.
    y: Option<Tensor>,
    /// The coefficients of the normalisation ([`cpu::Affine`]), f32 `[5, C]`.
    affine: Tensor,
    batch: bool,
    relu: bool,
    residual: bool,
}

/// The mask of the ReLU's gradient; the discriminants are those of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mask {
    /// No mask: there is no ReLU, or dy is masked already.
    Off = 0,
    /// dy passes where the saved output is positive or NaN.
    Output = 1,
    /// dy passes where the output, recomputed from x, is positive or NaN.
    Recomputed = 2,
}

/// The pass of the input's gradient: dx = scale g, plus (x - mean) slope + offset with batch statistics, where g is the
/// masked dy.
struct InputGradient<'a> {
    affine: &'a Tensor,
    /// The slope and offset, f32 `[2, C]`; none with frozen statistics.
    correction: Option<&'a Tensor>,
    mask: Mask,
    /// The saved output, for [`Mask::Output`].
    y: Option<&'a Tensor>,
}

impl Backward for BatchNormBackward {
    fn op(&self) -> &'static str {
        "batchnorm"
    }

    /// Runs the passes of the backward pass on either device, and chooses the buffer that each pass overwrites.
    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let BatchNormBackward { x, y, affine, batch, relu, residual } = *self;
        let gpu = dy.gpu().cloned();
        let give_residual = residual && sinks.needs_grad(RESIDUAL);
        let mut mask = match &y {
            Some(_) => Mask::Output,
            None if relu => Mask::Recomputed,
            None => Mask::Off,
        };
        let mut correction = None;
        if let Some(x) = &x {
            // With batch statistics the pass of dx reads x and can recompute the mask. In all other cases this pass
            // masks dy in memory; the masked dy is also the gradient of a residual.
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

        if sinks.needs_grad(X) {
            // Tensors that no pass reads are freed before dx is allocated.
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
