//! The copy of a parameter's weights that matrix products on a GPU read: in the element type of activations, and with
//! as many channels as images have there.

use crate::Result;
use crate::device::Device;
use crate::device::cuda::cudnn::{COLOURS, padded_channels};
use crate::device::cuda::kernels;
use crate::element::{DType, Shape};
use crate::tensor::Tensor;

/// The shape of the copy of a parameter; `None` if the weights themselves are read. Filters of convolutions have a copy
/// if activations are narrower than f32, or if the filters are those of images, whose channels are padded with zeros.
pub(super) fn shape(parameter: Shape, activations: DType) -> Option<Shape> {
    let c = parameter.nhwc()?[3];
    let wide = if c == COLOURS { padded_channels(c, activations) } else { c };
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
        let copy = |parameter: Shape, dtype| shape(parameter, dtype).map(|shape| shape.dims().to_vec());
        for (dtype, image, other) in
            [(DType::F32, vec![8, 7, 7, 4], None), (DType::BF16, vec![8, 7, 7, 8], Some(vec![8, 1, 1, 20]))]
        {
            assert_eq!(copy(Shape::from([8, 7, 7, 3]), dtype), Some(image));
            assert_eq!(copy(Shape::from([8, 1, 1, 20]), dtype), other);
            assert_eq!(copy(Shape::from([8, 3]), dtype), None);
        }
    }
}
