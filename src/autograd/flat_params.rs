//! Flat arrays of all parameters on a GPU, so that one launch updates all of them.
//!
//! The weights and the gradients of a group are one array each, with equal offsets. With f32 activations there is one
//! group; with bf16 there are two: the filters of convolutions, which have a bf16 copy and bf16 gradients, and all
//! other parameters.

use super::{Param, ParamSpec};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::CudaDevice;
use crate::element::DType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// The alignment of offsets in elements: 16 bytes of the narrowest type.
const ALIGN: usize = 8;

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
            let mut offsets = Vec::new();
            let mut end = 0;
            for (i, spec) in specs.iter().enumerate().filter(|(_, spec)| is_narrow(spec) == narrow) {
                offsets.push((i, end));
                end += spec.shape.len().next_multiple_of(ALIGN);
            }
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
                });
            }
            groups.push(group);
        }
        Ok((params.into_iter().flatten().collect(), FlatParams { groups }))
    }
}
