//! Batch normalisation on a GPU: the launches of `cuda/batchnorm.cu`.

use super::{BETA, BatchNorm, GAMMA, InputGradient, Mask};
use crate::Result;
use crate::autograd::{Sinks, Tape};
use crate::device::Device;
use crate::device::cuda::{ChannelGrid, CudaDevice, Grid, In, Out, kernels};
use crate::element::DType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The rows of the table of coefficients.
const ROWS: usize = 5;

/// Computes the coefficients of the normalisation, f32 `[5, C]`: with `momentum` from the statistics of `x`, which also
/// update the running statistics, otherwise from the running statistics.
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
    let grid = ChannelGrid::of(x.shape(), x.dtype());
    let chunking = grid.partial_sums(ChannelGrid::BLOCKS);
    let mut chunks = Tensor::empty(&device, [chunking.count, 3, c], DType::F32)?;
    let (rows, rows_a_chunk) = (grid.rows, chunking.rows);
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
    gpu.launch(grid.combine(), statistics)?;
    Ok(table)
}

/// Computes y from x in one pass; without `x`, `y` contains x and is overwritten.
pub fn forward(
    gpu: &CudaDevice,
    y: &mut Tensor,
    x: Option<&Tensor>,
    affine: &Tensor,
    residual: Option<&Tensor>,
    relu: bool,
) -> Result<()> {
    let grid = ChannelGrid::of(y.shape(), y.dtype());
    let y = Out::from(y);
    let forward = kernels::BatchnormForward {
        x: x.map_or(y.into(), In::from),
        table: affine.into(),
        residual: residual.map(In::from),
        y,
        relu: usize::from(relu),
        rows: grid.rows,
        c: grid.c,
    };
    gpu.launch(grid.elementwise(gpu), forward)
}

/// Overwrites x with dx.
pub fn dx_in_place_of_x(
    gpu: &CudaDevice,
    pass: &InputGradient<'_>,
    x: &mut Tensor,
    dy: &Tensor,
) -> Result<()> {
    let grid = ChannelGrid::of(x.shape(), x.dtype());
    let dx = Out::from(x);
    input_gradient(gpu, pass, grid, dy.into(), Some(dx.into()), dx)
}

/// Overwrites dy with dx.
pub fn dx_in_place_of_dy(gpu: &CudaDevice, pass: &InputGradient<'_>, dy: &mut Tensor) -> Result<()> {
    let grid = ChannelGrid::of(dy.shape(), dy.dtype());
    let dx = Out::from(dy);
    input_gradient(gpu, pass, grid, dx.into(), None, dx)
}

/// Computes dx into a buffer of its own; `x` is given with batch statistics.
pub fn dx(
    gpu: &CudaDevice,
    pass: &InputGradient<'_>,
    dx: &mut Tensor,
    x: Option<&Tensor>,
    dy: &Tensor,
) -> Result<()> {
    let grid = ChannelGrid::of(dx.shape(), dx.dtype());
    input_gradient(gpu, pass, grid, dy.into(), x.map(In::from), dx.into())
}

fn input_gradient(
    gpu: &CudaDevice,
    pass: &InputGradient<'_>,
    grid: ChannelGrid,
    dy: In,
    x: Option<In>,
    dx: Out,
) -> Result<()> {
    let backward = kernels::BatchnormBackwardInput {
        dy,
        x,
        y: pass.y.filter(|_| pass.mask == Mask::Output).map(In::from),
        table: pass.affine.into(),
        correction: pass.correction.map(In::from),
        dx,
        mask: pass.mask as usize,
        rows: grid.rows,
        c: grid.c,
    };
    gpu.launch(grid.elementwise(gpu), backward)
}

/// Adds the gradients of gamma and beta to `sinks`. With `mask_dy`, also masks dy in memory. Returns the correction of
/// dx by batch statistics, f32 `[2, C]`.
pub fn parameter_gradients(
    gpu: &CudaDevice,
    dy: &mut Tensor,
    (x, y, affine): (&Tensor, Option<&Tensor>, &Tensor),
    (mask, mask_dy, batch): (Mask, bool, bool),
    sinks: &mut Sinks<'_>,
) -> Result<Option<Tensor>> {
    let grid = ChannelGrid::of(dy.shape(), dy.dtype());
    let (rows, c) = (grid.rows, grid.c);
    let chunking = grid.partial_sums(ChannelGrid::BLOCKS_OF_MANY);
    let mut chunks = Tensor::empty(sinks.device(), [chunking.count, 2, c], DType::F32)?;
    let sums = kernels::BatchnormBackwardSums {
        dy: dy.into(),
        x: x.into(),
        y: y.map(In::from),
        table: affine.into(),
        chunks: (&mut chunks).into(),
        mask: mask as usize,
        mask_dy: usize::from(mask_dy),
        rows,
        c,
        rows_a_chunk: chunking.rows,
    };
    gpu.launch(chunking.grid, sums)?;

    // One launch writes both gradients, so the sinks only give the addresses and write modes here.
    let [mut gamma, mut beta] = [(None, 0); 2];
    sinks.add(GAMMA, |to, mode| {
        gamma = (Some(to.into()), mode.flag());
        Ok(())
    })?;
    sinks.add(BETA, |to, mode| {
        beta = (Some(to.into()), mode.flag());
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
    gpu.launch(grid.combine(), parameters)?;
    Ok(correction)
}
