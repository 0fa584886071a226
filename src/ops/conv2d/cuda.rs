//! Convolution on a GPU, by cuDNN through [`super::cudnn`].
//!
//! Channels of inputs and filters are padded with zeros as cuDNN wants them ([`padded_channels`]). Images are assembled
//! with such channels, and the copy of their filters has them too, so that a step pads nothing.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md), and
//! [chapter 14](../../../../../../docs/book/src/14-launches.md) for calls of cuDNN.

use super::Geometry;
use super::cudnn::Convolution;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::cudnn::padded_channels;
use crate::device::cuda::{CudaDevice, Lane, kernels};
use crate::element::{DType, GradMode};
use crate::ops::bias;
use crate::tensor::Tensor;
use std::sync::Arc;

fn convolution(gpu: &CudaDevice, g: &Geometry, dtype: DType) -> Result<Convolution> {
    let ([height, width], [r, s], c) = (g.input, g.filter, padded_channels(g.c, dtype));
    Convolution::new(gpu, [g.n, height, width, c], [g.k, r, s, c], g.stride, g.pad)
}

/// Pads the channels of a tensor `[.., C]` for cuDNN; returns the same tensor if no padding is needed.
fn padded(gpu: &Arc<CudaDevice>, t: &Tensor) -> Result<Tensor> {
    let (c, dtype) = (t.shape().last(), t.dtype());
    let wide = padded_channels(c, dtype);
    if wide == c {
        return Ok(t.clone());
    }
    let rows = t.shape().len() / c;
    let shape = t.shape().with_last(wide);
    let mut padded = Tensor::empty(&Device::Cuda(gpu.clone()), shape, dtype)?;
    let pad = kernels::PadChannels { x: t.into(), y: (&mut padded).into(), rows, c_in: c, c_out: wide };
    gpu.launch(gpu.flat(rows * wide, 16 / dtype.bytes()), pad)?;
    Ok(padded)
}

/// Calls `fill` to write or add the gradient of a tensor `[.., c]` in a stream; with padded channels `fill` writes a
/// temporary, which is then cropped in the same stream.
fn cropped(
    gpu: &Arc<CudaDevice>,
    to: &mut Tensor,
    mode: GradMode,
    c: usize,
    lane: Lane,
    fill: impl FnOnce(&mut Tensor, GradMode) -> Result<()>,
) -> Result<()> {
    let dtype = to.dtype();
    let wide = padded_channels(c, dtype);
    if wide == c {
        return fill(to, mode);
    }
    let rows = to.shape().len() / c;
    let mut whole = Tensor::empty(&Device::Cuda(gpu.clone()), [rows, wide], dtype)?;
    fill(&mut whole, GradMode::Overwrite)?;
    let (x, y, accumulate) = ((&whole).into(), to.into(), mode.flag());
    let crop = kernels::CropChannels { x, y, accumulate, rows, c_in: wide, c_out: c };
    gpu.launch_in(lane, gpu.flat(rows * c, 16 / dtype.bytes()), crop)
}

/// Computes y; returns the input with padded channels, for the gradient of the filters.
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

/// Writes or adds dx; a gradient of padded channels is that of x.
pub fn input_gradient(
    gpu: &Arc<CudaDevice>,
    g: &Geometry,
    dy: &Tensor,
    w: &Tensor,
    dx: &mut Tensor,
    mode: GradMode,
) -> Result<()> {
    let (convolution, w) = (convolution(gpu, g, dy.dtype())?, padded(gpu, w)?);
    let c = dx.shape().last();
    cropped(gpu, dx, mode, c, Lane::Main, |dx, mode| convolution.input_gradient(gpu, &w, dy, dx, mode))
}

/// Writes or adds dw, from the input that `forward` returned, beside the main stream: the backward pass goes on with
/// dx, and the device waits where something needs dw.
pub fn filter_gradient(
    gpu: &Arc<CudaDevice>,
    g: &Geometry,
    x: &Tensor,
    dy: &Tensor,
    dw: &mut Tensor,
    mode: GradMode,
) -> Result<()> {
    let convolution = convolution(gpu, g, dy.dtype())?;
    cropped(gpu, dw, mode, g.c, Lane::Side, |dw, mode| convolution.filter_gradient(gpu, x, dy, dw, mode))
}
