//! Batch normalisation on a GPU: the launches of `cuda/batchnorm.cu`.
//!
//! Book: [chapter 8](../../../../../../docs/book/src/08-normalise.md).

use super::{BETA, Dx, Forward, GAMMA, Gradients};
use crate::Result;
use crate::autograd::{Sinks, Tape};
use crate::device::Device;
use crate::device::cuda::{CudaDevice, In, Out, Part, Phases, Tiles, kernels};
use crate::element::DType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The rows of the table of coefficients.
const ROWS: usize = 5;

/// The forward pass ([`Forward::run`]).
pub fn forward(
    gpu: &Arc<CudaDevice>,
    pass: &Forward<'_>,
    tape: &mut Tape<'_>,
    y: &mut Tensor,
    x: Option<&Tensor>,
) -> Result<Tensor> {
    let tiles = Tiles::of(y.shape(), y.dtype());
    let Tiles { rows, c, rows_a_tile, .. } = tiles;
    let device = Device::Cuda(gpu.clone());
    let mut coefficients = Tensor::empty(&device, [ROWS, c], DType::F32)?;
    let table = Out::from(&mut coefficients);
    let (gamma, beta) = (In::from(&pass.bn.gamma.value), In::from(&pass.bn.beta.value));
    let (residual, relu) = (pass.residual.map(In::from), usize::from(pass.relu));
    let y = Out::from(y);
    let x = x.map_or(y.into(), In::from);
    let Some(momentum) = pass.momentum else {
        let (mean, var) = (tape.buffer(pass.bn.mean).into(), tape.buffer(pass.bn.var).into());
        let frozen = kernels::BatchnormFrozen {
            x,
            mean,
            var,
            gamma,
            beta,
            table,
            residual,
            y,
            relu,
            rows,
            c,
            rows_a_tile,
        };
        gpu.launch(tiles.whole(), frozen)?;
        return Ok(coefficients);
    };
    let mut chunks = Tensor::empty(&device, [tiles.chunks, 3, c], DType::F32)?;
    let chunks = Out::from(&mut chunks);
    let running_mean = Out::from(tape.buffer_mut(pass.bn.mean));
    let running_var = Out::from(tape.buffer_mut(pass.bn.var));
    gpu.launch_phases(&tiles, 1, |Part { phases, kept_rows }| kernels::BatchnormForward {
        x,
        gamma,
        beta,
        running_mean,
        running_var,
        chunks,
        table,
        residual,
        y,
        momentum,
        relu,
        phases: phases as usize,
        kept_rows,
        rows,
        c,
        rows_a_tile,
    })?;
    Ok(coefficients)
}

/// The backward pass ([`Gradients`]); the gradients of gamma and beta go to `sinks`.
pub fn backward(gpu: &Arc<CudaDevice>, pass: &mut Gradients, sinks: &mut Sinks<'_>) -> Result<()> {
    let tiles = Tiles::of(pass.dy.shape(), pass.dy.dtype());
    let Tiles { rows, c, rows_a_tile, .. } = tiles;
    let dy = Out::from(&mut pass.dy);
    let (dx, x) = match (&mut pass.dx, &mut pass.x) {
        (Dx::OverX, Some(x)) => {
            let dx = Out::from(x);
            (Some(dx), Some(dx.into()))
        }
        (dx, x) => {
            let dx = match dx {
                Dx::OverDy => Some(dy),
                Dx::Own(dx) => Some(Out::from(dx)),
                Dx::None | Dx::OverX => None,
            };
            (dx, x.as_ref().map(In::from))
        }
    };
    let y = pass.y.as_ref().map(In::from);
    // One launch writes both gradients, so the sinks only give the addresses and write modes here.
    let [mut gamma, mut beta] = [(None, 0); 2];
    let mut partial_sums = None;
    if x.is_some() {
        sinks.add(GAMMA, |to, mode| {
            gamma = (Some(Out::from(to)), mode.flag());
            Ok(())
        })?;
        sinks.add(BETA, |to, mode| {
            beta = (Some(Out::from(to)), mode.flag());
            Ok(())
        })?;
        partial_sums = Some(Tensor::empty(sinks.device(), [tiles.chunks, 2, c], DType::F32)?);
    }
    let chunks = partial_sums.as_mut().map(Out::from);
    let kernel = |phases: usize, kept_rows| kernels::BatchnormBackward {
        dy,
        x,
        y,
        table: (&pass.affine).into(),
        chunks,
        dgamma: gamma.0,
        add_dgamma: gamma.1,
        dbeta: beta.0,
        add_dbeta: beta.1,
        dx,
        // Without x no gradient needs the statistics, only that of a residual is wanted.
        batch: usize::from(pass.batch && x.is_some()),
        mask: pass.mask as usize,
        mask_dy: usize::from(pass.mask_dy),
        phases,
        kept_rows,
        rows,
        c,
        rows_a_tile,
    };
    match chunks {
        Some(_) => gpu.launch_phases(&tiles, 2, |part| kernel(part.phases as usize, part.kept_rows)),
        None if dx.is_some() || pass.mask_dy => gpu.launch(tiles.whole(), kernel(Phases::Apply as usize, 0)),
        None => Ok(()),
    }
}
