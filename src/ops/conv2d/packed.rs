//! Convolutions of inference on the CPU: filters that are packed once, and an epilogue in the same pass.
//!
//! y = relu(b + x * w + residual), where b and w usually include a batch normalisation with running statistics. Each
//! task finishes its part of y while it is in a cache; as operations of their own, the addition and the ReLU would move
//! 16 bytes more for each value in f32.
//!
//! Book: [chapter 7](../../../../../../docs/book/src/07-convolution.md).

use super::finish::Finish;
use super::{Conv, Geometry, implicit_gemm, winograd};
use crate::autograd::{Tape, Var};
use crate::device::Device;
use crate::element::{DType, Shape, with_real};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The filters and the bias of a convolution, packed for the CPU's loops.
#[derive(Debug)]
pub struct PackedConv {
    filters: Tensor,
    bias: Tensor,
    /// The shape of the filters, `[K, R, S, C]`.
    shape: Shape,
    conv: Conv,
}

impl PackedConv {
    /// Packs the filters `w` `[K, R, S, C]` and the bias `[K]`, both f32 on the CPU.
    ///
    /// # Errors
    /// Another device or type; a bias of another length; empty filters.
    pub fn new(w: &Tensor, bias: &Tensor, conv: Conv) -> Result<Self> {
        let shape = w.shape();
        let fits = shape.nhwc().is_some_and(|[k, ..]| bias.shape().dims() == [k]);
        if !fits || [w, bias].iter().any(|tensor| tensor.gpu().is_some() || tensor.dtype() != DType::F32) {
            let bias = bias.shape();
            let detail =
                format!("filters [K, R, S, C] and a bias [K] in f32 on the CPU, not {shape} and {bias}");
            return Err(Error::shape("conv2d", detail));
        }
        // Any image that the filter fits on: only the filters count.
        let [_, r, s, c] = shape.nhwc().expect("checked above");
        let device = Device::cpu();
        let image = Tensor::zeros(&device, [1, r, s, c])?;
        let geometry = Geometry::new(&image, shape, Some(bias.shape()), conv)?;
        let filters = match winograd::suits(&geometry) {
            true => winograd::pack_filters(&device, &geometry, w.f32()),
            false => implicit_gemm::pack_filters(&device, &geometry, w.f32()),
        };
        Ok(PackedConv { filters, bias: bias.clone(), shape, conv })
    }
}

/// Convolves `x` `[N, H, W, C]`, f32 or bf16, and finishes the result: bias, `residual` of the result's shape, ReLU. The tape records
/// nothing. Returns `[N, P, Q, K]`.
///
/// # Errors
/// As [`super::conv2d`]; a residual of another shape or type.
///
/// # Panics
/// If `x` needs a gradient: there is no backward function.
pub fn conv2d_packed(
    tape: &mut Tape<'_>,
    x: &Var,
    packed: &PackedConv,
    residual: Option<&Var>,
    relu: bool,
) -> Result<Var> {
    assert!(!tape.needs_grad(x.handle()), "packed filters are for inference");
    let geometry = Geometry::new(&x.value, packed.shape, Some(packed.bias.shape()), packed.conv)?;
    let device = tape.device();
    let mut y = Tensor::empty(&device, geometry.y_shape(), x.value.dtype())?;
    if let Some(residual) = residual
        && (residual.shape(), residual.value.dtype()) != (y.shape(), y.dtype())
    {
        let kind = |t: &Tensor| format!("{} {}", t.dtype(), t.shape());
        let detail = format!("a residual {} for a result {}", kind(&residual.value), kind(&y));
        return Err(Error::shape("conv2d", detail));
    }
    let geometry = geometry.in_one_row();
    let (filters, bias) = (packed.filters.f32(), Some(packed.bias.f32()));
    with_real!(x.value, E => {
        let finish = Finish { residual: residual.map(|residual| residual.value.reals::<E>()), relu };
        let (x, y) = (x.value.reals(), y.reals_mut());
        match winograd::suits(&geometry) {
            true => winograd::fprop_packed(&device, &geometry, x, filters, bias, y, finish),
            false => implicit_gemm::fprop_packed(&device, &geometry, x, filters, bias, y, finish),
        }
    });
    Ok(tape.constant(y))
}
