//! The bias of a convolution or of the fully connected layer on a GPU, whose products do not add it themselves:
//! y\[.., c\] += b\[c\], and db\[c\] = sum of dy\[.., c\]. No operation of its own; the CPU's loops have it built in.

use crate::Result;
use crate::device::Device;
use crate::device::cuda::{Columns, CudaDevice, kernel};
use crate::tensor::{DType, Tensor, Write};
use std::sync::Arc;

/// Adds `b` f32 `[C]` to every row of `y` `[.., C]`.
pub fn forward(gpu: &CudaDevice, b: &Tensor, y: &mut Tensor) -> Result<()> {
    let columns = Columns::of(y);
    let dtype = y.dtype();
    let args = [y.into(), b.into(), columns.rows(), columns.channels()];
    gpu.launch(kernel!("bias_forward", dtype), columns.walk(gpu), &args)
}

/// Writes or adds the sums of the rows of `dy` `[.., C]` to `db` f32 `[C]`.
pub fn gradient(gpu: &Arc<CudaDevice>, dy: &Tensor, db: &mut Tensor, write: Write) -> Result<()> {
    let columns = Columns::of(dy);
    let chunking = columns.chunks(Columns::BLOCKS);
    let device = Device::Cuda(gpu.clone());
    let mut chunks = Tensor::empty(&device, [chunking.count, db.shape().len()], DType::F32)?;
    let args = [dy.into(), (&mut chunks).into(), columns.rows(), columns.channels(), chunking.rows()];
    gpu.launch(kernel!("bias_gradient_sums", dy.dtype()), chunking.grid, &args)?;
    let args = [(&chunks).into(), db.into(), write.flag(), columns.channels(), chunking.count()];
    gpu.launch("bias_gradient", columns.by_channel(), &args)
}
