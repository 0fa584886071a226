//! Flat arrays of all parameters on a GPU, so that one launch updates all of them.
//!
//! The weights and the gradients of a group are one array each, with equal offsets. With f32 activations there is one
//! group; with bf16 there are two: the filters of convolutions, which have a bf16 copy and bf16 gradients, and all
//! other parameters.

use super::{Param, ParamSpec};
use crate::device::Device;
use crate::device::cuda::CudaDevice;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};
use std::sync::Arc;

/// The alignment of offsets in elements: 16 bytes of the narrowest type.
const ALIGN: usize = 8;

/// The most elements of an array: the segments of the update (`Segment` of `cuda/segment.cuh`) have offsets of 32 bits.
const MOST: u64 = 1 << 32;

/// The arrays of one group.
#[derive(Debug)]
pub struct FlatGroup {
    /// The weights, f32.
    pub values: Tensor,
    /// The gradients: f32, or bf16 in a group with a bf16 copy.
    pub grads: Tensor,
    /// The bf16 copy of the weights for matrix products.
    pub compute_copy: Option<Tensor>,
    /// The index of each parameter of the group, and its offset in elements.
    pub offsets: Vec<(usize, usize)>,
}

/// The flat arrays of all groups.
#[derive(Debug)]
pub struct FlatParams {
    /// The groups; none is empty.
    pub groups: Vec<FlatGroup>,
}

impl FlatParams {
    /// Allocates the arrays, filled with zeros, and returns the parameters as views of their parts.
    pub(super) fn new(gpu: &Arc<CudaDevice>, specs: &[ParamSpec]) -> Result<(Vec<Param>, Self)> {
        let weights = gpu.precision().activations();
        let is_narrow = |spec: &ParamSpec| weights != DType::F32 && spec.shape.nhwc().is_some();
        let mut params: Vec<Option<Param>> = specs.iter().map(|_| None).collect();
        let mut groups = Vec::new();
        for narrow in [true, false] {
            let of_group = specs.iter().enumerate().filter(|(_, spec)| is_narrow(spec) == narrow);
            let (offsets, end) = lay_out(of_group.map(|(i, spec)| (i, spec.shape.len())))?;
            if offsets.is_empty() {
                continue;
            }
            let device = Device::Cuda(gpu.clone());
            let array = |dtype| {
                Tensor::cleared(&device, [end], dtype).map_err(|e| {
                    e.about_tensor(format!("the {} parameters and their gradients", specs.len()))
                })
            };
            let group = FlatGroup {
                values: array(DType::F32)?,
                grads: array(if narrow { weights } else { DType::F32 })?,
                compute_copy: narrow.then(|| array(weights)).transpose()?,
                offsets,
            };
            for &(i, offset) in &group.offsets {
                let spec = &specs[i];
                let part = |of: &Tensor| of.part(offset * of.dtype().bytes(), spec.shape, of.dtype());
                params[i] = Some(Param {
                    name: spec.name.clone(),
                    value: part(&group.values),
                    compute_copy: group.compute_copy.as_ref().map(part),
                    grad: part(&group.grads),
                    init: spec.init,
                    lr_mult: spec.lr_mult,
                    decay_mult: 1.0,
                    frozen: false,
                    first_step: 0,
                });
            }
            groups.push(group);
        }
        Ok((params.into_iter().flatten().collect(), FlatParams { groups }))
    }
}

/// The offset of each parameter, given by index and size, and the length of the array, in elements.
///
/// # Errors
/// The array would have more than 2^32 elements.
fn lay_out(sizes: impl Iterator<Item = (usize, usize)>) -> Result<(Vec<(usize, usize)>, usize)> {
    let (mut offsets, mut end) = (Vec::new(), 0usize);
    for (i, elements) in sizes {
        offsets.push((i, end));
        let next = elements.checked_next_multiple_of(ALIGN).and_then(|elements| end.checked_add(elements));
        end = next.filter(|&next| next as u64 <= MOST).ok_or_else(|| {
            Error::Device(format!(
                "the parameters have more than 2^32 elements, which is the limit on a GPU: {elements} more after \
                 {end}; use a smaller network"
            ))
        })?;
    }
    Ok((offsets, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_aligned_and_stay_below_two_to_the_32() {
        let laid = |sizes: &[usize]| lay_out(sizes.iter().copied().enumerate());
        assert_eq!(laid(&[3, 8, 9]).unwrap(), (vec![(0, 0), (1, 8), (2, 16)], 32));
        let half = 1usize << 31;
        assert_eq!(laid(&[half, half]).unwrap(), (vec![(0, 0), (1, half)], 1 << 32));
        for sizes in [&[half, half, 1][..], &[(1 << 32) + 1], &[8, usize::MAX], &[8, usize::MAX - 15]] {
            let error = laid(sizes).unwrap_err().to_string();
            assert!(error.contains("more than 2^32 elements"), "{sizes:?}: {error}");
        }
    }
}
