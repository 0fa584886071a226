//! The launches of `cuda/batchnorm.cu`.

use super::{BETA, BatchNorm, GAMMA, RESIDUAL, Saved, X};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{Arg, Columns, CudaDevice, Grid, kernel};
use crate::ops::relu;
use crate::tensor::{DType, Sinks, Tape, Tensor};
use std::sync::Arc;

/// Rows of the table of the normalisation.
const ROWS: usize = 5;

/// Which elements of dy get through the rectifier, as the kernels number it.
#[derive(Clone, Copy, PartialEq)]
enum Mask {
    Off = 0,
    Output = 1,
    Recomputed = 2,
}

impl Mask {
    fn arg(self) -> Arg {
        Arg::Int(self as usize)
    }
}

/// The normalisation of `x` by its own statistics, which also move the running ones, or by those.
pub fn affine(
    gpu: &Arc<CudaDevice>,
    tape: &mut Tape<'_>,
    x: &Tensor,
    bn: &BatchNorm,
    momentum: Option<f32>,
) -> Result<Tensor> {
    let c = x.shape().last();
    let device = Device::Cuda(gpu.clone());
    let mut table = Tensor::empty(&device, [ROWS, c], DType::F32)?;
    let (gamma, beta) = (Arg::from(&bn.gamma.value), Arg::from(&bn.beta.value));
    let Some(momentum) = momentum else {
        let (mean, var) = (Arg::from(tape.buffer(bn.mean)), Arg::from(tape.buffer(bn.var)));
        let args = [mean, var, gamma, beta, (&mut table).into(), Arg::Int(c)];
        gpu.launch("batchnorm_frozen", Grid::blocks(c.div_ceil(256)), &args)?;
        return Ok(table);
    };
    let columns = Columns::of(x);
    let chunking = columns.chunks(Columns::BLOCKS);
    let mut chunks = Tensor::empty(&device, [chunking.count, 3, c], DType::F32)?;
    let args = [x.into(), (&mut chunks).into(), columns.rows(), columns.channels(), chunking.rows()];
    gpu.launch(kernel!("batchnorm_moments", x.dtype()), chunking.grid, &args)?;
    let (mean, var) = (Arg::from(tape.buffer_mut(bn.mean)), Arg::from(tape.buffer_mut(bn.var)));
    let statistics = [(&chunks).into(), gamma, beta, mean, var, (&mut table).into(), Arg::Float(momentum)];
    let sizes = [columns.rows(), columns.channels(), chunking.rows()];
    gpu.launch("batchnorm_statistics", columns.by_channel(), &[&statistics[..], &sizes].concat())?;
    Ok(table)
}

/// Normalises `y`, which holds x or is filled from `x`.
pub fn forward(
    gpu: &CudaDevice,
    y: &mut Tensor,
    x: Option<&Tensor>,
    affine: &Tensor,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<()> {
    let (columns, dtype) = (Columns::of(y), y.dtype());
    let y = Arg::from(y);
    let tensors = [x.map_or(y, Arg::from), affine.into(), Arg::or_null(residual), y, Arg::flag(relu)];
    let args = [&tensors[..], &[columns.rows(), columns.channels()]].concat();
    gpu.launch(kernel!("batchnorm_forward", dtype), columns.walk(gpu), &args)
}

/// Adds the gradients of the inputs to `sinks`.
pub fn backward(gpu: &Arc<CudaDevice>, saved: Saved, mut dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
    let Saved { mut x, y, affine, batch, relu, residual } = saved;
    let give_residual = residual && sinks.wants(RESIDUAL);
    let mut mask = match &y {
        Some(_) => Mask::Output,
        None if relu => Mask::Recomputed,
        None => Mask::Off,
    };
    let mut correction = None;
    if let Some(x) = &x {
        // An output is saved beside x only where there is a residual, whose gradient is the masked dy.
        let settle = mask == Mask::Output;
        correction = sums(gpu, &mut dy, x, y.as_ref(), &affine, (mask, settle, batch), sinks)?;
        if settle {
            mask = Mask::Off;
        }
    } else if let (true, Some(y)) = (give_residual, &y) {
        relu::cuda::backward(gpu, y, &mut dy)?;
        mask = Mask::Off;
    }
    if sinks.wants(X) {
        let y = if mask == Mask::Output { y } else { None };
        let (columns, dtype, shape) = (Columns::of(&dy), dy.dtype(), dy.shape());
        let gradient = |dy: Arg, x: Arg, to: Arg| {
            let tensors =
                [dy, x, Arg::or_null(y.as_ref()), (&affine).into(), Arg::or_null(correction.as_ref())];
            let args = [&tensors[..], &[to, mask.arg(), columns.rows(), columns.channels()]].concat();
            gpu.launch(kernel!("batchnorm_backward_input", dtype), columns.walk(gpu), &args)
        };
        let is_free = x.as_mut().is_some_and(Tensor::is_unique);
        let input = Arg::or_null(x.as_ref());
        match x {
            // dx takes the place of x, or of dy, where that is no longer wanted.
            Some(mut x) if batch && is_free => {
                gradient((&dy).into(), input, (&mut x).into())?;
                sinks.give(X, x)?;
            }
            _ if batch || give_residual => {
                let mut dx = Tensor::empty(sinks.device(), shape, dtype)?;
                gradient((&dy).into(), input, (&mut dx).into())?;
                sinks.give(X, dx)?;
            }
            _ => {
                let to = Arg::from(&mut dy);
                gradient(to, input, to)?;
                return sinks.give(X, dy);
            }
        }
    }
    if give_residual { sinks.give(RESIDUAL, dy) } else { Ok(()) }
}

/// The gradients of gamma and beta, and what batch statistics add to dx: `[2, C]`. With `settle`, dy is masked where it
/// lies.
fn sums(
    gpu: &Arc<CudaDevice>,
    dy: &mut Tensor,
    x: &Tensor,
    y: Option<&Tensor>,
    affine: &Tensor,
    (mask, settle, batch): (Mask, bool, bool),
    sinks: &mut Sinks<'_>,
) -> Result<Option<Tensor>> {
    let (columns, dtype, c) = (Columns::of(dy), dy.dtype(), dy.shape().last());
    let chunking = columns.chunks(Columns::BLOCKS_OF_MANY);
    let mut chunks = Tensor::empty(sinks.device(), [chunking.count, 2, c], DType::F32)?;
    let tensors = [dy.into(), x.into(), Arg::or_null(y), affine.into(), (&mut chunks).into()];
    let how = [mask.arg(), Arg::flag(settle), columns.rows(), columns.channels(), chunking.rows()];
    let kernel = kernel!("batchnorm_backward_sums", dtype);
    gpu.launch(kernel, chunking.grid, &[&tensors[..], &how].concat())?;

    // One launch fills both gradients, so the sinks are only asked where they are.
    let [mut gamma, mut beta] = [[Arg::NULL, Arg::flag(false)]; 2];
    sinks.add(GAMMA, |to, write| {
        gamma = [to.into(), write.flag()];
        Ok(())
    })?;
    sinks.add(BETA, |to, write| {
        beta = [to.into(), write.flag()];
        Ok(())
    })?;
    let mut correction = batch.then(|| Tensor::empty(sinks.device(), [2, c], DType::F32)).transpose()?;
    let tensors = [(&chunks).into(), affine.into(), gamma[0], gamma[1], beta[0], beta[1]];
    let rest = [
        correction.as_mut().map_or(Arg::NULL, Arg::from),
        columns.rows(),
        columns.channels(),
        chunking.count(),
    ];
    gpu.launch("batchnorm_backward_parameters", columns.by_channel(), &[&tensors[..], &rest].concat())?;
    Ok(correction)
}
