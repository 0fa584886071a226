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
//! pass that writes y. Backward: one pass for the sums, one that overwrites the saved x with dx. A GPU does both passes of
//! a direction in one launch, which keeps what fits in shared memory in between. Without a residual the sign of y follows
//! from x, and y is not read again. With a residual, the first pass masks dy in place, and that buffer becomes the
//! residual's gradient. If only dx = gamma / std g is needed (frozen statistics, gamma and beta without gradient), x is
//! not saved and the forward pass works in place.
//!
//! With several ranks the statistics are those of the batch of all ranks: each rank computes the moments of its share,
//! the ranks exchange them (2 C numbers each), and each merges them in rank order. The backward pass exchanges dbeta and
//! dgamma likewise for dx. Those of the parameters stay the rank's own, since the sum of all gradients adds them.
//!
//! The ReLU treats NaN as [`crate::ops::relu`] does: NaN stays NaN and passes its gradient.
//!
//! Book: [chapter 8](../../../../../docs/book/src/08-normalise.md).

mod cpu;
mod cuda;
mod cudnn;
mod moments;

use crate::autograd::{Backward, BufferId, ParamId, Sinks, Tape, Var};
use crate::device::BatchNormBackend;
use crate::ops::check as inputs;
use crate::ranks::Group;
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
    /// The statistics of the batch of all ranks, which also update the running statistics (PyTorch's convention):
    /// running = (1 - momentum) running + momentum batch, with the unbiased variance.
    Batch {
        /// The weight of the new batch, in [0, 1].
        momentum: f32,
    },
    /// The same of this rank's share of the batch. The running statistics of the ranks differ then.
    ShareOfBatch {
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

// ANCHOR: epilogue
/// The epilogue: operations that follow the normalisation in the same pass.
#[derive(Clone, Debug, Default)]
pub struct Epilogue {
    /// A tensor of the shape of x, which is added before the ReLU.
    pub residual: Option<Var>,
    /// Applies a ReLU at the end.
    pub relu: bool,
}
// ANCHOR_END: epilogue

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
    let backend = tape.device().batchnorm();
    batchnorm_by(backend, tape, x, bn, statistics, epilogue)
}

/// As [`batchnorm`], by `backend` instead of the device's choice. On the CPU there is one alone.
///
/// # Errors
/// As [`batchnorm`].
pub fn batchnorm_by(
    backend: BatchNormBackend,
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
        Statistics::Batch { momentum } | Statistics::ShareOfBatch { momentum } if tape.is_recording() => {
            Some(momentum)
        }
        _ => None,
    };
    let group = match statistics {
        Statistics::Batch { .. } if momentum.is_some() => tape.device().group(),
        _ => Group::Alone,
    };
    let rows = group.ranks() * x.shape().len() / x.shape().last();
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
    let needs_grad = inputs.iter().any(|&input| tape.needs_grad(input));
    if let Some(gpu) = cudnn::gpu_of(backend, &x, momentum.is_some(), needs_grad) {
        return cudnn::forward(&gpu, tape, x, &bn, momentum, &inputs, &epilogue);
    }
    let [needs_dx, needs_dgamma, needs_dbeta] = [0, 1, 2].map(|i| tape.needs_grad(inputs[i]));
    let keeps_x = needs_dgamma || needs_dbeta || (momentum.is_some() && needs_dx);
    let residual = epilogue.residual.map(|r| r.value);
    let has_residual = residual.is_some();
    let (residual, relu) = (residual.as_ref(), epilogue.relu);
    let pass = Forward { bn: &bn, momentum, group: &group, residual, relu };
    let (y, x, affine) = if !keeps_x && x.is_unique() {
        let affine = pass.run(tape, &mut x, None)?;
        (x, None, affine)
    } else {
        let mut y = Tensor::empty(&tape.device(), x.shape(), x.dtype())?;
        let affine = pass.run(tape, &mut y, Some(&x))?;
        (y, keeps_x.then_some(x), affine)
    };
    Ok(tape.record(y, &inputs, |y| {
        let keeps_y = epilogue.relu && (x.is_none() || has_residual);
        BatchNormBackward {
            x,
            y: keeps_y.then_some(y),
            affine,
            batch: momentum.is_some(),
            group,
            relu: epilogue.relu,
            residual: has_residual,
        }
    }))
}

/// The forward pass: statistics and epilogue.
struct Forward<'a> {
    bn: &'a BatchNorm,
    /// The momentum of the running statistics; none: they are the statistics.
    momentum: Option<f32>,
    /// The ranks whose values the statistics are of.
    group: &'a Group,
    residual: Option<&'a Tensor>,
    relu: bool,
}

impl Forward<'_> {
    /// Computes y from x; without `x`, `y` contains x and is overwritten. Returns the coefficients of the normalisation
    /// ([`cpu::Affine`]), f32 `[5, C]`.
    fn run(&self, tape: &mut Tape<'_>, y: &mut Tensor, x: Option<&Tensor>) -> Result<Tensor> {
        match y.gpu().cloned() {
            None => {
                let BatchNorm { gamma, beta, .. } = self.bn;
                inputs::f32s("batchnorm", [("gamma", &gamma.value), ("beta", &beta.value)])?;
                cpu::forward(self, tape, y, x)
            }
            Some(gpu) => cuda::forward(&gpu, self, tape, y, x),
        }
    }
}

/// Whether cuDNN computes the forward and the backward pass of layers with inputs of the shape and type of `x`, a
/// tensor of a GPU, in its persistent mode.
///
/// # Errors
/// An input that cuDNN does not take.
pub fn cudnn_is_persistent(x: &Tensor) -> Result<[bool; 2]> {
    cudnn::is_persistent(x)
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
    group: Group,
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

/// The place of the gradient of x.
enum Dx {
    /// It is not needed.
    None,
    /// It overwrites x.
    OverX,
    /// It overwrites dy.
    OverDy,
    /// A tensor of its own.
    Own(Tensor),
}

/// The backward pass: its tensors, and what it does with them.
struct Gradients {
    /// The gradient of the output.
    dy: Tensor,
    /// The input, if gradients of gamma and beta or batch statistics need it.
    x: Option<Tensor>,
    /// The output, for [`Mask::Output`].
    y: Option<Tensor>,
    affine: Tensor,
    /// The statistics are those of the batch, so they have a gradient too.
    batch: bool,
    /// The ranks whose values the statistics are of.
    group: Group,
    mask: Mask,
    /// Masks dy in memory.
    mask_dy: bool,
    dx: Dx,
}

impl Backward for BatchNormBackward {
    fn op(&self) -> &'static str {
        "batchnorm"
    }

    /// Chooses the buffer of dx, and runs the passes.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let BatchNormBackward { mut x, y, affine, batch, group, relu, residual } = *self;
        let give_residual = residual && sinks.needs_grad(RESIDUAL);
        let mask = match &y {
            Some(_) => Mask::Output,
            None if relu => Mask::Recomputed,
            None => Mask::Off,
        };
        // With batch statistics the pass of dx reads x and can recompute the mask. In all other cases dy is masked in
        // memory before it is read again; the masked dy is also the gradient of a residual.
        let mask_dy = match x {
            Some(_) => mask == Mask::Output || mask == Mask::Recomputed && !batch,
            None => mask == Mask::Output && give_residual,
        };
        // ANCHOR: buffer
        let dx = if !sinks.needs_grad(X) {
            Dx::None
        } else if batch && x.as_mut().is_some_and(Tensor::is_unique) {
            Dx::OverX
        } else if !batch && !give_residual {
            Dx::OverDy
        } else {
            Dx::Own(Tensor::empty(sinks.device(), dy.shape(), dy.dtype())?)
        };
        // ANCHOR_END: buffer
        let mut pass = Gradients { dy, x, y, affine, batch, group, mask, mask_dy, dx };
        match pass.dy.gpu().cloned() {
            None => cpu::backward(&mut pass, sinks)?,
            Some(gpu) => cuda::backward(&gpu, &mut pass, sinks)?,
        }
        let Gradients { dy, x, dx, .. } = pass;
        match dx {
            Dx::None => {}
            Dx::OverX => sinks.give(X, x.expect("dx overwrites a saved x"))?,
            Dx::OverDy => return sinks.give(X, dy),
            Dx::Own(dx) => sinks.give(X, dx)?,
        }
        if give_residual { sinks.give(RESIDUAL, dy) } else { Ok(()) }
    }
}
