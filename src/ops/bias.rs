//! The bias of a convolution or of the fully connected layer on a GPU: y\[.., c\] += b\[c\], and
//! db\[c\] = sum of dy\[.., c\]. The products of cuDNN and cuBLAS do not add a bias. On the CPU the bias is part of the
//! product's loop.
//!
//! Book: [chapter 12](../../../../../docs/book/src/12-cuda.md) explains sums over a block, as those of the gradient;
//! [chapter 14](../../../../../docs/book/src/14-launches.md) the library calls in front of this operation.

use crate::Result;
use crate::device::Device;
use crate::device::cuda::{ChannelGrid, CudaDevice, kernels};
use crate::element::{DType, GradMode};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Adds `b` f32 `[C]` to every row of `y` `[.., C]`.
pub fn forward(gpu: &CudaDevice, b: &Tensor, y: &mut Tensor) -> Result<()> {
    let grid = ChannelGrid::of(y.shape(), y.dtype());
    let kernel = kernels::BiasForward { y: y.into(), b: b.into(), rows: grid.rows, c: grid.c };
    gpu.launch(grid.elementwise(gpu), kernel)
}

/// Writes or adds the sums of the rows of `dy` `[.., C]` to `db` f32 `[C]`.
pub fn gradient(gpu: &Arc<CudaDevice>, dy: &Tensor, db: &mut Tensor, mode: GradMode) -> Result<()> {
    let grid = ChannelGrid::of(dy.shape(), dy.dtype());
    let chunking = grid.partial_sums();
    let device = Device::Cuda(gpu.clone());
    let mut chunks = Tensor::empty(&device, [chunking.count, db.shape().len()], DType::F32)?;
    let sums = kernels::BiasGradientSums {
        dy: dy.into(),
        chunks: (&mut chunks).into(),
        rows: grid.rows,
        c: grid.c,
        rows_a_chunk: chunking.rows,
    };
    gpu.launch(chunking.grid, sums)?;
    let gradient = kernels::BiasGradient {
        chunks: (&chunks).into(),
        db: db.into(),
        accumulate: mode.flag(),
        c: grid.c,
        count: chunking.count,
    };
    gpu.launch(grid.combine(), gradient)
}
