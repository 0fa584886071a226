//! The batch-contrastive loss on a GPU: the launches of `cuda/batch_contrastive.cu`.
//!
//! Book: [chapter 11](../../../../../../docs/book/src/11-batch-contrastive.md), and
//! [chapter 13](../../../../../../docs/book/src/13-three-kernels.md) for its kernels.

use super::{Batch, Gradient, Options, Reduction, Term};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{CudaDevice, Grid, kernels};
use crate::element::{DType, GradMode};
use crate::ops::pairs::{self, Quantity};
use crate::tensor::Tensor;
use std::sync::Arc;

impl Batch<'_> {
    /// The number of images, features and classes.
    fn sizes(&self) -> [usize; 3] {
        [self.labels.shape().len(), self.x.shape().last(), self.centers.shape().dims()[0]]
    }
}

/// Enqueues the computation of the active hardest negatives, the terms and the loss: three launches.
pub(super) fn forward(
    gpu: &Arc<CudaDevice>,
    batch: &Batch<'_>,
    options: Options,
    hardest: &mut Tensor,
    terms: &mut Tensor,
    loss: &mut Tensor,
) -> Result<()> {
    let [m, d, classes] = batch.sizes();
    let device = Device::Cuda(gpu.clone());
    let partial = pairs::cuda::parts(gpu, batch.x, Quantity::SquaredDistance)?;
    let mut rows = Tensor::empty(&device, [m, Term::COUNT], DType::F32)?;
    let of_each = kernels::BatchContrastiveRows {
        partial: (&partial).into(),
        x: batch.x.into(),
        labels: batch.labels.into(),
        centers: batch.centers.into(),
        tau: options.tau,
        rows: (&mut rows).into(),
        hardest: hardest.into(),
        splits: partial.shape().dims()[0],
        m,
        d,
        classes,
    };
    gpu.launch(pairs::cuda::warp_an_image(m), of_each)?;

    let (rows, terms, loss, mean) = ((&rows).into(), terms.into(), loss.into(), mean(options.reduction));
    gpu.launch(Grid::blocks(1), kernels::BatchContrastiveTerms { rows, terms, loss, mean, m })
}

/// Writes or adds dx.
pub(super) fn backward(
    gpu: &CudaDevice,
    batch: &Batch<'_>,
    hardest: &Tensor,
    (gradient, reduction): (Gradient, Reduction),
    dy: &Tensor,
    dx: &mut Tensor,
    mode: GradMode,
) -> Result<()> {
    let [m, d, classes] = batch.sizes();
    let backward = kernels::BatchContrastiveBackward {
        x: batch.x.into(),
        labels: batch.labels.into(),
        centers: batch.centers.into(),
        hardest: hardest.into(),
        dy: dy.into(),
        dx: dx.into(),
        exact: usize::from(gradient == Gradient::Exact),
        mean: mean(reduction),
        accumulate: mode.flag(),
        m,
        d,
        classes,
    };
    gpu.launch(Grid::over_features(m, d), backward)
}

/// The argument `mean` of the kernels.
fn mean(reduction: Reduction) -> usize {
    usize::from(reduction == Reduction::Mean)
}
