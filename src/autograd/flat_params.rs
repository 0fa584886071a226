//! Flat arrays of parameters on a GPU, so that one launch updates many of them.
//!
//! The weights and the gradients of a section are one array each. A section is a run of parameters in the order of
//! their declaration. The backward pass completes the gradients from the last section to the first, and each section
//! can be updated as soon as it is complete. Parameters with a copy for matrix products ([`compute_copy`]), whose
//! gradients are like the copy, are in sections of their own.
//!
//! Book: [chapter 15](../../../../../docs/book/src/15-memory-streams.md).

use super::{Param, ParamSpec, compute_copy};
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

/// The number of sections that parameters of one kind are cut into, about. The update of the first section has no
/// backward pass left to run beside; with sections filled from the end it has what is left over, a small part. Each
/// section costs a launch.
const SECTIONS: usize = 12;

/// The fewest elements of a section but the first: a smaller update takes no longer than a launch.
const FEWEST: usize = 1 << 14;

/// The place of a parameter in the arrays of its section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the parameter.
    pub param: usize,
    /// The offset in the weights, in elements, a multiple of 8.
    pub offset: usize,
    /// The offset in the gradients and in the copy, where an image's filters are wider: in elements, a multiple of 8.
    pub wide_offset: usize,
}

/// The arrays of one section.
#[derive(Debug)]
pub struct FlatSection {
    /// The weights, f32.
    pub values: Tensor,
    /// The gradients, of the type of the copy if there is one, otherwise f32.
    pub grads: Tensor,
    /// The copy of the weights for matrix products.
    pub compute_copy: Option<Tensor>,
    /// The places of the parameters.
    pub places: Vec<Place>,
}

/// The flat arrays of all sections.
#[derive(Debug)]
pub struct FlatParams {
    /// The sections; none is empty.
    pub sections: Vec<FlatSection>,
}

impl FlatParams {
    /// Allocates the arrays, filled with zeros, and returns the parameters as views of their parts.
    pub(super) fn new(gpu: &Arc<CudaDevice>, specs: &[ParamSpec]) -> Result<(Vec<Param>, Self)> {
        let device = Device::Cuda(gpu.clone());
        let weights = device.activations();
        let copy_shape = |spec: &ParamSpec| compute_copy::shape(spec.shape, &device);
        let mut params: Vec<Option<Param>> = specs.iter().map(|_| None).collect();
        let of_kind = |has_copy| {
            let members = specs.iter().enumerate().filter(|(_, spec)| copy_shape(spec).is_some() == has_copy);
            let sections = cut(members.map(|(i, spec)| (i, spec.shape.len())).collect());
            sections.into_iter().map(move |members| (has_copy, members))
        };
        let mut sections = Vec::new();
        for (has_copy, members) in of_kind(true).chain(of_kind(false)) {
            let shape = |i: usize| copy_shape(&specs[i]).unwrap_or(specs[i].shape);
            let (offsets, end) = lay_out(members.iter().map(|&i| specs[i].shape.len()))?;
            let (wide_offsets, wide_end) = lay_out(members.iter().map(|&i| shape(i).len()))?;
            let array = |end, dtype| {
                Tensor::cleared(&device, [end], dtype).map_err(|e| {
                    e.about_tensor(format!("the {} parameters and their gradients", specs.len()))
                })
            };
            let section = FlatSection {
                values: array(end, DType::F32)?,
                grads: array(wide_end, if has_copy { weights } else { DType::F32 })?,
                compute_copy: has_copy.then(|| array(wide_end, weights)).transpose()?,
                places: (members.into_iter().zip(offsets).zip(wide_offsets))
                    .map(|((param, offset), wide_offset)| Place { param, offset, wide_offset })
                    .collect(),
            };
            for &Place { param: i, offset, wide_offset } in &section.places {
                let spec = &specs[i];
                let part = |of: &Tensor| of.part(wide_offset * of.dtype().bytes(), shape(i), of.dtype());
                params[i] = Some(Param {
                    name: spec.name.clone(),
                    value: section.values.part(offset * DType::F32.bytes(), spec.shape, DType::F32),
                    compute_copy: section.compute_copy.as_ref().map(part),
                    grad: part(&section.grads),
                    init: spec.init,
                    lr_mult: spec.lr_mult,
                    decay_mult: 1.0,
                    frozen: false,
                    first_step: 0,
                });
            }
            sections.push(section);
        }
        Ok((params.into_iter().flatten().collect(), FlatParams { sections }))
    }
}

/// Cuts parameters, given by index and size in the order of their declaration, into sections of indices. The last ones
/// come first in the backward pass, so sections are filled from the end, and the first takes what is left.
// ANCHOR: cut
fn cut(sizes: Vec<(usize, usize)>) -> Vec<Vec<usize>> {
    let all: usize = sizes.iter().map(|&(_, elements)| elements).fold(0, usize::saturating_add);
    let enough = (all / SECTIONS).max(FEWEST);
    let (mut sections, mut section, mut elements) = (Vec::new(), Vec::new(), 0usize);
    for (i, size) in sizes.into_iter().rev() {
        section.push(i);
        elements = elements.saturating_add(size);
        if elements >= enough {
            sections.push(std::mem::take(&mut section));
            elements = 0;
        }
    }
    if !section.is_empty() {
        sections.push(section);
    }
    sections.iter_mut().for_each(|section| section.reverse());
    sections.reverse();
    sections
}
// ANCHOR_END: cut

/// The offset of each parameter, given by its size, and the length of the array, in elements.
///
/// # Errors
/// The array would have more than 2^32 elements.
fn lay_out(sizes: impl Iterator<Item = usize>) -> Result<(Vec<usize>, usize)> {
    let (mut offsets, mut end) = (Vec::new(), 0usize);
    for elements in sizes {
        offsets.push(end);
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
    fn sections_are_filled_from_the_end_and_keep_the_order() {
        let cut = |sizes: &[usize]| cut(sizes.iter().copied().enumerate().collect());
        assert_eq!(cut(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(cut(&[1, 2, 3]), [vec![0, 1, 2]], "less than a launch is worth");
        assert_eq!(cut(&[1, FEWEST, FEWEST - 1, 1]), [vec![0], vec![1], vec![2, 3]]);
        // A twelfth of the elements each, at least.
        let equal = cut(&[FEWEST; 36]);
        assert_eq!(equal.len(), 12);
        assert_eq!(equal[0], [0, 1, 2]);
        assert_eq!(equal[11], [33, 34, 35]);
    }

    #[test]
    fn offsets_are_aligned_and_stay_below_two_to_the_32() {
        let laid = |sizes: &[usize]| lay_out(sizes.iter().copied());
        assert_eq!(laid(&[3, 8, 9]).unwrap(), (vec![0, 8, 16], 32));
        let half = 1usize << 31;
        assert_eq!(laid(&[half, half]).unwrap(), (vec![0, half], 1 << 32));
        for sizes in [&[half, half, 1][..], &[(1 << 32) + 1], &[8, usize::MAX], &[8, usize::MAX - 15]] {
            let error = laid(sizes).unwrap_err().to_string();
            assert!(error.contains("more than 2^32 elements"), "{sizes:?}: {error}");
        }
    }
}
