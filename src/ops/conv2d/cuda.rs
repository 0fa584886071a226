//! By cuDNN, through [`crate::device::cuda::Convolution`].
//!
//! In 16 bits cuDNN takes channels in multiples of 8 only. Images have 3: they and their filters are padded with zeros
//! for it, which changes no sum.

use super::Geometry;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{Convolution, CudaDevice, kernels};
use crate::ops::bias;
use crate::tensor::{DType, Tensor, Write};
use std::sync::Arc;

/// What 16-bit channels are a multiple of.
const GROUP: usize = 8;

/// The channels that cuDNN sees of the input.
fn channels(g: &Geometry, dtype: DType) -> usize {
    if dtype == DType::BF16 { g.c.next_multiple_of(GROUP) } else { g.c }
}

fn convolution(gpu: &CudaDevice, g: &Geometry, dtype: DType) -> Result<Convolution> {
    let ([height, width], [r, s], c) = (g.input, g.filter, channels(g, dtype));
    gpu.convolution([g.n, height, width, c], [g.k, r, s, c], g.stride, g.pad)
}

/// The tensor `[.., C]` with channels as cuDNN wants them.
fn padded(gpu: &Arc<CudaDevice>, t: &Tensor) -> Result<Tensor> {
    let c = t.shape().last();
    let wide = c.next_multiple_of(GROUP);
    if t.dtype() != DType::BF16 || wide == c {
        return Ok(t.clone());
    }
    let rows = t.shape().len() / c;
    let mut padded = Tensor::empty(&Device::Cuda(gpu.clone()), [rows, wide], DType::BF16)?;
    let pad = kernels::PadChannels { x: t.into(), y: (&mut padded).into(), rows, c_in: c, c_out: wide };
    gpu.launch(gpu.flat(rows * wide, 8), pad)?;
    Ok(padded)
}

/// Lets `fill` write or add the gradient of a tensor `[.., c]` with channels as cuDNN has them.
fn cropped(
    gpu: &Arc<CudaDevice>,
    to: &mut Tensor,
    write: Write,
    c: usize,
    fill: impl FnOnce(&mut Tensor, Write) -> Result<()>,
) -> Result<()> {
    let (wide, dtype) = (c.next_multiple_of(GROUP), to.dtype());
    if dtype != DType::BF16 || wide == c {
        return fill(to, write);
    }
    let rows = to.shape().len() / c;
    let mut whole = Tensor::empty(&Device::Cuda(gpu.clone()), [rows, wide], dtype)?;
    fill(&mut whole, Write::Overwrite)?;
    let (x, y, accumulate) = ((&whole).into(), to.into(), write.flag());
    let crop = kernels::CropChannels { x, y, accumulate, rows, c_in: wide, c_out: c };
    gpu.launch(gpu.flat(rows * c, 16 / dtype.bytes()), crop)
}

/// Fills `y`, and returns the input as the gradient of the filters takes it.
pub fn forward(
    gpu: &Arc<CudaDevice>,
    g: &Geometry,
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    y: &mut Tensor,
) -> Result<Tensor> {
    let x = padded(gpu, x)?;
    convolution(gpu, g, x.dtype())?.forward(gpu, &x, &padded(gpu, w)?, y)?;
    if let Some(b) = b {
        bias::forward(gpu, b, y)?;
    }
    Ok(x)
}

/// Writes or adds dx.
pub fn input_gradient(
    gpu: &Arc<CudaDevice>,
    g: &Geometry,
    dy: &Tensor,
    w: &Tensor,
    dx: &mut Tensor,
    write: Write,
) -> Result<()> {
    let (convolution, w) = (convolution(gpu, g, dy.dtype())?, padded(gpu, w)?);
    cropped(gpu, dx, write, g.c, |dx, write| convolution.input_gradient(gpu, &w, dy, dx, write))
}

/// Writes or adds dw, from the input that `forward` returned.
pub fn filter_gradient(
    gpu: &Arc<CudaDevice>,
    g: &Geometry,
    x: &Tensor,
    dy: &Tensor,
    dw: &mut Tensor,
    write: Write,
) -> Result<()> {
    let convolution = convolution(gpu, g, dy.dtype())?;
    cropped(gpu, dw, write, g.c, |dw, write| convolution.filter_gradient(gpu, x, dy, dw, write))
}
