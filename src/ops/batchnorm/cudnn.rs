//! Batch normalisation by cuDNN, both directions. The residual and the ReLU are element-wise kernels behind it.
//!
//! Forward: cuDNN writes y, then the residual is added and the ReLU applied in place. Backward: dy is masked in place
//! by the saved y, and is then the gradient of the residual; cuDNN computes the gradients of x, gamma and beta from it.
//! cuDNN overwrites none of its inputs, so x, and y under a ReLU, live until the backward pass: more memory, and two
//! to four passes over it, beyond what the fused kernels take.
//!
//! cuDNN has no gradient of frozen statistics: only layers without any gradient come here with them.
//!
//! Book: [chapter 8](../../../../../../docs/book/src/08-normalise.md), and
//! [chapter 14](../../../../../../docs/book/src/14-launches.md) for calls of cuDNN.

use super::{BETA, BatchNorm, EPS, Epilogue, GAMMA, RESIDUAL, X};
use crate::autograd::{Backward, Handle, Sinks, Tape, Var};
use crate::device::cuda::cudnn::Element;
use crate::device::cuda::cudnn::batchnorm::{BatchNormPlan, BatchNormProblem, Pass};
use crate::device::cuda::{CudaDevice, In, Out, Reserve, kernels};
use crate::device::{BatchNormBackend, Device};
use crate::element::{DType, GradMode};
use crate::ops::relu;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::sync::Arc;

/// The GPU of `x`, if cuDNN computes this layer. `has_batch_statistics` says where the statistics are from,
/// `needs_grad` whether the layer has a backward pass.
pub fn gpu_of(
    backend: BatchNormBackend,
    x: &Tensor,
    has_batch_statistics: bool,
    needs_grad: bool,
) -> Option<Arc<CudaDevice>> {
    let gpu = x.gpu().filter(|_| backend == BatchNormBackend::Cudnn)?;
    // An empty tensor has no cuDNN descriptor.
    let is_done = (has_batch_statistics || !needs_grad) && x.shape().len() > 0;
    is_done.then(|| gpu.clone())
}

/// Computes y, and records the layer; `momentum` is given with the statistics of the batch.
pub fn forward(
    gpu: &Arc<CudaDevice>,
    tape: &mut Tape<'_>,
    x: Tensor,
    bn: &BatchNorm,
    momentum: Option<f32>,
    inputs: &[Handle],
    epilogue: &Epilogue,
) -> Result<Var> {
    let device = Device::Cuda(gpu.clone());
    let plan = gpu.batchnorm_plan(&problem(&x)?)?;
    require_f32(tape, bn)?;
    let mut y = Tensor::empty(&device, x.shape(), x.dtype())?;
    let gamma_beta = [In::from(&bn.gamma.value), In::from(&bn.beta.value)];
    let saved = match momentum {
        None => {
            let statistics = [tape.buffer(bn.mean), tape.buffer(bn.var)].map(In::from);
            let arrays = (In::from(&x), Out::from(&mut y));
            // SAFETY: `problem` has the sizes and the type of x, which y has too; `super::check` and `require_f32` have
            // checked the others. No other handle to y exists.
            unsafe { gpu.batchnorm_inference(&plan, arrays, gamma_beta, statistics, EPS) }?;
            None
        }
        Some(momentum) => {
            let c = x.shape().last();
            let [mut mean, mut inverse_deviation] =
                [Tensor::empty(&device, [c], DType::F32)?, Tensor::empty(&device, [c], DType::F32)?];
            let running = [Out::from(tape.buffer_mut(bn.mean)), Out::from(tape.buffer_mut(bn.var))];
            let saved = [Out::from(&mut mean), Out::from(&mut inverse_deviation)];
            let arrays = (In::from(&x), Out::from(&mut y));
            // SAFETY: as above; mean and variance are two buffers.
            let reserve =
                unsafe { gpu.batchnorm_forward(&plan, arrays, gamma_beta, running, saved, (momentum, EPS)) }?;
            Some((mean, inverse_deviation, reserve))
        }
    };
    if let Some(residual) = &epilogue.residual {
        add(gpu, Out::from(&mut y), &residual.value)?;
    }
    if epilogue.relu {
        relu::cuda::forward_in_place(gpu, &mut y)?;
    }
    let Some((mean, inverse_deviation, reserve)) = saved else {
        return Ok(tape.constant(y));
    };
    Ok(tape.record(y, inputs, |y| CudnnBackward {
        plan,
        gamma: bn.gamma.value.clone(),
        x,
        y: epilogue.relu.then_some(y),
        mean,
        inverse_deviation,
        reserve,
        residual: epilogue.residual.is_some(),
    }))
}

/// The problem of a tensor `[.., C]`: the dimensions between the first and the last one are the height.
fn problem(x: &Tensor) -> Result<BatchNormProblem> {
    let (shape, c) = (x.shape(), x.shape().last());
    let n = if shape.dims().len() > 1 { shape.dims()[0] } else { 1 };
    let [h, w] = shape.nhwc().map_or([shape.len() / (n * c), 1], |[_, h, w, _]| [h, w]);
    let element = match x.dtype() {
        DType::F32 => Element::F32,
        DType::BF16 => Element::Bf16,
        other => return Err(Error::shape("batchnorm", format!("x is {other}; cuDNN takes f32 and bf16"))),
    };
    Ok(BatchNormProblem { n, h, w, c, element })
}

/// Checks that the parameters and the running statistics are f32: cuDNN takes their addresses alone.
fn require_f32(tape: &Tape<'_>, bn: &BatchNorm) -> Result<()> {
    let arrays = [
        ("gamma", &bn.gamma.value),
        ("beta", &bn.beta.value),
        ("running mean", tape.buffer(bn.mean)),
        ("running variance", tape.buffer(bn.var)),
    ];
    match arrays.into_iter().find(|(_, array)| array.dtype() != DType::F32) {
        Some((name, array)) => {
            Err(Error::shape("batchnorm", format!("{name} is {}; cuDNN takes f32", array.dtype())))
        }
        None => Ok(()),
    }
}

/// As [`super::cudnn_is_persistent`].
pub fn is_persistent(x: &Tensor) -> Result<[bool; 2]> {
    let Some(gpu) = x.gpu() else {
        return Err(Error::shape("batchnorm", "cuDNN takes tensors of a GPU"));
    };
    let plan = gpu.batchnorm_plan(&problem(x)?)?;
    Ok([Pass::Forward, Pass::Backward].map(|pass| plan.is_persistent(pass)))
}

/// Adds the elements of `from` to an array of its size and type.
fn add(gpu: &CudaDevice, to: Out, from: &Tensor) -> Result<()> {
    let n = from.shape().len();
    let grid = gpu.flat(n, 16 / from.dtype().bytes());
    gpu.launch(grid, kernels::AddForward { a: to.into(), b: from.into(), y: to, n })
}

struct CudnnBackward {
    plan: Arc<BatchNormPlan>,
    gamma: Tensor,
    x: Tensor,
    /// The output, under a ReLU.
    y: Option<Tensor>,
    /// The mean of the batch and 1 / sqrt(variance + EPS), f32 `[C]`.
    mean: Tensor,
    inverse_deviation: Tensor,
    reserve: Reserve,
    residual: bool,
}

impl Backward for CudnnBackward {
    fn op(&self) -> &'static str {
        "batchnorm"
    }

    fn backward(self: Box<Self>, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let CudnnBackward { plan, gamma, x, y, mean, inverse_deviation, reserve, residual } = *self;
        let gpu = x.gpu().expect("cuDNN has computed a tensor of a GPU").clone();
        if let Some(y) = y {
            relu::cuda::backward(&gpu, &y, &mut dy)?;
        }
        if [X, GAMMA, BETA].into_iter().any(|input| sinks.needs_grad(input)) {
            // cuDNN computes all three gradients: those that nobody needs go to scratch memory.
            let mut dx = Tensor::empty(sinks.device(), x.shape(), x.dtype())?;
            let parameters = ParameterGradients::of(sinks, gamma.shape().len())?;
            let arrays = (In::from(&x), In::from(&dy), Out::from(&mut dx));
            let saved = [In::from(&mean), In::from(&inverse_deviation)];
            // SAFETY: the arrays are those of the forward pass, and dy and dx have the size and type of x. dx and the
            // gradients of the parameters have no other handle.
            unsafe {
                let to = (parameters.to, parameters.mode);
                gpu.batchnorm_backward(&plan, arrays, (&gamma).into(), to, saved, &reserve, EPS)
            }?;
            parameters.finish(&gpu)?;
            if sinks.needs_grad(X) {
                sinks.give(X, dx)?;
            }
        }
        if residual && sinks.needs_grad(RESIDUAL) { sinks.give(RESIDUAL, dy) } else { Ok(()) }
    }
}

/// Where cuDNN writes the gradients of gamma and beta. It takes one write mode for both, so a gradient whose mode is
/// another one goes to scratch memory and is added from there.
struct ParameterGradients {
    to: [Out; 2],
    mode: GradMode,
    /// Scratch memory, and the gradient that its content is added to, if there is one.
    scratch: [Option<(Tensor, Option<Out>)>; 2],
}

impl ParameterGradients {
    fn of(sinks: &mut Sinks<'_>, c: usize) -> Result<Self> {
        let mut wanted = [None; 2];
        for (wanted, input) in wanted.iter_mut().zip([GAMMA, BETA]) {
            sinks.add(input, |to, mode| {
                *wanted = Some((Out::from(to), mode));
                Ok(())
            })?;
        }
        let add_both = wanted.iter().all(|wanted| matches!(wanted, Some((_, GradMode::Accumulate))));
        let mode = if add_both { GradMode::Accumulate } else { GradMode::Overwrite };
        let mut scratch = [None, None];
        let mut to = Vec::with_capacity(2);
        for (wanted, scratch) in wanted.into_iter().zip(&mut scratch) {
            to.push(match wanted {
                Some((to, own)) if own == mode => to,
                other => {
                    let (tensor, _) = scratch
                        .insert((Tensor::empty(sinks.device(), [c], DType::F32)?, other.map(|(to, _)| to)));
                    Out::from(tensor)
                }
            });
        }
        Ok(ParameterGradients { to: [to[0], to[1]], mode, scratch })
    }

    /// Adds what is in scratch memory to its gradient.
    fn finish(self, gpu: &CudaDevice) -> Result<()> {
        for (from, to) in self.scratch.into_iter().flatten() {
            if let Some(to) = to {
                add(gpu, to, &from)?;
            }
        }
        Ok(())
    }
}
