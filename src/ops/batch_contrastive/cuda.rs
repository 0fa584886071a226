//! The launches of `cuda/batch_contrastive.cu`.

use super::{Batch, Gradient, Reading, Reduction, Term};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{Arg, CudaDevice, Grid};
use crate::ops::center_step::cuda::over_features;
use crate::tensor::{DType, Tensor, Write};
use std::sync::Arc;

/// Images and features of a tile of distances, and the parts of the features to aim for.
const TILE: usize = 16;
const CHUNK: usize = 64;
const BLOCKS: usize = 512;

impl Batch<'_> {
    /// Images, features, classes.
    fn sizes(&self) -> [usize; 3] {
        [self.labels.shape().len(), self.x.shape().last(), self.centers.shape().dims()[0]]
    }
}

/// Fills the active hardest negatives, the terms and the loss: three launches.
pub fn forward(
    gpu: &Arc<CudaDevice>,
    batch: &Batch<'_>,
    reading: Reading,
    hardest: &mut Tensor,
    terms: &mut Tensor,
    loss: &mut Tensor,
) -> Result<()> {
    let [m, d, classes] = batch.sizes();
    let device = Device::Cuda(gpu.clone());
    let tiles = m.div_ceil(TILE);
    // From m and D alone: parts decide in which order numbers are added.
    let splits = d.div_ceil(CHUNK).min(BLOCKS.div_ceil(tiles * (tiles + 1) / 2));
    let mut partial = Tensor::empty(&device, [splits, m, m], DType::F32)?;
    let args = [batch.x.into(), (&mut partial).into(), Arg::Int(m), Arg::Int(d)];
    gpu.launch("batch_contrastive_distances", Grid::tiles([tiles / 2 + 1, tiles, splits]), &args)?;

    let mut rows = Tensor::empty(&device, [m, Term::COUNT], DType::F32)?;
    let tensors = [&partial, batch.x, batch.labels, batch.centers].map(Arg::from);
    let results = [Arg::Float(reading.tau), (&mut rows).into(), hardest.into()];
    let sizes = [splits, m, d, classes].map(Arg::Int);
    let args = [&tensors[..], &results, &sizes].concat();
    // A warp an image.
    gpu.launch("batch_contrastive_rows", Grid::blocks(m.div_ceil(8)), &args)?;

    let args = [(&rows).into(), terms.into(), loss.into(), mean(reading.reduction), Arg::Int(m)];
    gpu.launch("batch_contrastive_terms", Grid::blocks(1), &args)
}

/// Writes or adds dx.
pub fn backward(
    gpu: &CudaDevice,
    batch: &Batch<'_>,
    hardest: &Tensor,
    (gradient, reduction): (Gradient, Reduction),
    dy: &Tensor,
    dx: &mut Tensor,
    write: Write,
) -> Result<()> {
    let [m, d, classes] = batch.sizes();
    let tensors = [batch.x, batch.labels, batch.centers, hardest, dy].map(Arg::from);
    let how = [dx.into(), Arg::flag(gradient == Gradient::Exact), mean(reduction), write.flag()];
    let args = [&tensors[..], &how, &[m, d, classes].map(Arg::Int)].concat();
    gpu.launch("batch_contrastive_backward", over_features(m, d), &args)
}

/// The kernels' `mean`.
fn mean(reduction: Reduction) -> Arg {
    Arg::flag(reduction == Reduction::Mean)
}
