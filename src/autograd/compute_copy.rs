//! The copy of a parameter's weights that matrix products read: in the element type of activations, and on a GPU with as
//! many channels as images have there.

use crate::Result;
use crate::device::Device;
use crate::device::cuda::cudnn::{COLOURS, padded_channels};
use crate::device::cuda::kernels;
use crate::element::{DType, Shape};
use crate::tensor::Tensor;

/// The shape of the copy of a parameter; `None` if the weights themselves are read. Filters of convolutions have a copy
/// if activations are narrower than f32, or if the filters are those of images, whose channels a GPU pads with zeros.
pub(super) fn shape(parameter: Shape, device: &Device) -> Option<Shape> {
    shape_in(parameter, device.activations(), matches!(device, Device::Cuda(_)))
}

fn shape_in(parameter: Shape, activations: DType, on_gpu: bool) -> Option<Shape> {
    let c = parameter.nhwc()?[3];
    let wide = if on_gpu && c == COLOURS { padded_channels(c, activations) } else { c };
    (activations != DType::F32 || wide != c).then(|| parameter.with_last(wide))
}

/// Rounds the weights f32 to the type of their copy; its further channels are 0.
///
/// # Errors
/// A device error.
pub(super) fn fill(copy: &mut Tensor, weights: &Tensor) -> Result<()> {
    let (c_in, c_out) = (weights.shape().last(), copy.shape().last());
    let Some(gpu) = weights.gpu().filter(|_| c_in != c_out) else { return copy.convert_from(weights) };
    let mut rounded = weights.clone();
    if copy.dtype() != DType::F32 {
        rounded = Tensor::empty(&Device::Cuda(gpu.clone()), weights.shape(), copy.dtype())?;
        rounded.convert_from(weights)?;
    }
    let rows = weights.shape().len() / c_in;
    let pad = kernels::PadChannels { x: (&rounded).into(), y: copy.into(), rows, c_in, c_out };
    gpu.launch(gpu.flat(rows * c_out, 16 / rounded.dtype().bytes()), pad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_images_and_narrow_filters_have_a_copy() {
        for (on_gpu, dtype, image, other) in [
            (true, DType::F32, Some(vec![8, 7, 7, 4]), None),
            (true, DType::BF16, Some(vec![8, 7, 7, 8]), Some(vec![8, 1, 1, 20])),
            (false, DType::F32, None, None),
            (false, DType::BF16, Some(vec![8, 7, 7, 3]), Some(vec![8, 1, 1, 20])),
        ] {
            let copy =
                |parameter: Shape| shape_in(parameter, dtype, on_gpu).map(|shape| shape.dims().to_vec());
            assert_eq!(copy(Shape::from([8, 7, 7, 3])), image);
            assert_eq!(copy(Shape::from([8, 1, 1, 20])), other);
            assert_eq!(copy(Shape::from([8, 3])), None);
        }
    }
}
