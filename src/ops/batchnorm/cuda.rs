//! The launches of `cuda/batchnorm.cu`.

use super::{BETA, BatchNorm, GAMMA, RESIDUAL, Saved, X};
use crate::Result;
use crate::autograd::{Sinks, Tape};
use crate::device::Device;
use crate::device::cuda::{Columns, CudaDevice, Grid, In, Out, kernels};
use crate::element::DType;
use crate::ops::relu;
use crate::tensor::Tensor;
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
    let (gamma, beta) = (In::from(&bn.gamma.value), In::from(&bn.beta.value));
    let Some(momentum) = momentum else {
        let (mean, var) = (tape.buffer(bn.mean).into(), tape.buffer(bn.var).into());
        let frozen = kernels::BatchnormFrozen { mean, var, gamma, beta, table: (&mut table).into(), c };
        gpu.launch(Grid::blocks(c.div_ceil(256)), frozen)?;
        return Ok(table);
    };
    let columns = Columns::of(x.shape(), x.dtype());
    let chunking = columns.chunks(Columns::BLOCKS);
    let mut chunks = Tensor::empty(&device, [chunking.count, 3, c], DType::F32)?;
    let (rows, rows_a_chunk) = (columns.rows, chunking.rows);
    let moments =
        kernels::BatchnormMoments { x: x.into(), chunks: (&mut chunks).into(), rows, c, rows_a_chunk };
    gpu.launch(chunking.grid, moments)?;
    let statistics = kernels::BatchnormStatistics {
        chunks: (&chunks).into(),
        gamma,
        beta,
        running_mean: tape.buffer_mut(bn.mean).into(),
        running_var: tape.buffer_mut(bn.var).into(),
        table: (&mut table).into(),
        momentum,
        rows,
        c,
        rows_a_chunk,
    };
    gpu.launch(columns.by_channel(), statistics)?;
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
    let columns = Columns::of(y.shape(), y.dtype());
    let y = Out::from(y);
    let forward = kernels::BatchnormForward {
        x: x.map_or(y.into(), In::from),
        table: affine.into(),
        residual: residual.map(In::from),
        y,
        relu: usize::from(relu),
        rows: columns.rows,
        c: columns.c,
    };
    gpu.launch(columns.walk(gpu), forward)
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
        let (columns, dtype, shape) = (Columns::of(dy.shape(), dy.dtype()), dy.dtype(), dy.shape());
        let gradient = |dy: In, x: Option<In>, dx: Out| {
            let backward = kernels::BatchnormBackwardInput {
                dy,
                x,
                y: y.as_ref().map(In::from),
                table: (&affine).into(),
                correction: correction.as_ref().map(In::from),
                dx,
                mask: mask as usize,
                rows: columns.rows,
                c: columns.c,
            };
            gpu.launch(columns.walk(gpu), backward)
        };
        let is_free = x.as_mut().is_some_and(Tensor::is_unique);
        let input = x.as_ref().map(In::from);
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
                let dx = Out::from(&mut dy);
                gradient(dx.into(), input, dx)?;
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
    let columns = Columns::of(dy.shape(), dy.dtype());
    let (rows, c) = (columns.rows, columns.c);
    let chunking = columns.chunks(Columns::BLOCKS_OF_MANY);
    let mut chunks = Tensor::empty(sinks.device(), [chunking.count, 2, c], DType::F32)?;
    let sums = kernels::BatchnormBackwardSums {
        dy: dy.into(),
        x: x.into(),
        y: y.map(In::from),
        table: affine.into(),
        chunks: (&mut chunks).into(),
        mask: mask as usize,
        settle: usize::from(settle),
        rows,
        c,
        rows_a_chunk: chunking.rows,
    };
    gpu.launch(chunking.grid, sums)?;

    // One launch fills both gradients, so the sinks are only asked where they are.
    let [mut gamma, mut beta] = [(None, 0); 2];
    sinks.add(GAMMA, |to, write| {
        gamma = (Some(to.into()), write.flag());
        Ok(())
    })?;
    sinks.add(BETA, |to, write| {
        beta = (Some(to.into()), write.flag());
        Ok(())
    })?;
    let mut correction = batch.then(|| Tensor::empty(sinks.device(), [2, c], DType::F32)).transpose()?;
    let parameters = kernels::BatchnormBackwardParameters {
        chunks: (&chunks).into(),
        table: affine.into(),
        dgamma: gamma.0,
        add_dgamma: gamma.1,
        dbeta: beta.0,
        add_dbeta: beta.1,
        correction: correction.as_mut().map(Out::from),
        rows,
        c,
        count: chunking.count,
    };
    gpu.launch(columns.by_channel(), parameters)?;
    Ok(correction)
}
