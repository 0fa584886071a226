//! Flat arrays of all parameters, for a device that moves them in one launch.
//!
//! Weights and gradients of a group lie at the same offsets of one array each. There is one group, or
//! two where the device multiplies in 16 bits: the filters of convolutions, whose gradients are of 16 bits too and
//! which have a copy of such, and all else.

use super::{Param, ParamSpec};
use crate::Result;
use crate::device::Device;
use crate::device::cuda::CudaDevice;
use crate::element::DType;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Offsets are multiples of as many elements: 16 bytes of the narrowest type.
const ALIGN: usize = 8;

/// The arrays of one group.
#[derive(Debug)]
pub struct FlatGroup {
    /// f32.
    pub values: Tensor,
    /// f32, or bf16 where there is a copy.
    pub grads: Tensor,
    /// The values in bf16.
    pub copy: Option<Tensor>,
    /// Which parameters, and at which offset each.
    pub places: Vec<(usize, usize)>,
}

/// All groups.
#[derive(Debug)]
pub struct FlatParams {
    /// None of them empty.
    pub groups: Vec<FlatGroup>,
}

impl FlatParams {
    /// Makes the arrays, full of zeros, and the parameters as parts of them.
    pub(super) fn new(gpu: &Arc<CudaDevice>, specs: &[ParamSpec]) -> Result<(Vec<Param>, Self)> {
        let weights = gpu.precision().activations();
        let is_narrow = |spec: &ParamSpec| weights != DType::F32 && spec.shape.nhwc().is_some();
        let mut params: Vec<Option<Param>> = specs.iter().map(|_| None).collect();
        let mut groups = Vec::new();
        for narrow in [true, false] {
            let mut places = Vec::new();
            let mut end = 0;
            for (i, spec) in specs.iter().enumerate().filter(|(_, spec)| is_narrow(spec) == narrow) {
                places.push((i, end));
                end += spec.shape.len().next_multiple_of(ALIGN);
            }
            if places.is_empty() {
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
                copy: narrow.then(|| array(weights)).transpose()?,
                places,
            };
            for &(i, offset) in &group.places {
                let spec = &specs[i];
                let part = |of: &Tensor| of.part(offset * of.dtype().bytes(), spec.shape, of.dtype());
                params[i] = Some(Param {
                    name: spec.name.clone(),
                    value: part(&group.values),
                    copy: group.copy.as_ref().map(part),
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
