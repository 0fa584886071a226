//! Flat arrays of all parameters, for a device that moves them in one launch.
//!
//! Weights, gradients and velocities of a group lie at the same offsets of one array each. There is one group, or
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
/// Elements of a segment at most, so that blocks have even work although parameters differ in size by a factor of
/// 10,000 (`cuda/sgd.cu`).
const SEGMENT: usize = 4096;

/// The arrays of one group.
#[derive(Debug)]
pub struct Group {
    /// f32.
    pub values: Tensor,
    /// f32, or bf16 where there is a copy.
    pub grads: Tensor,
    /// f32.
    pub momenta: Tensor,
    /// The values in bf16.
    pub copy: Option<Tensor>,
    /// Which parameters, and at which offset each.
    places: Vec<(usize, usize)>,
    /// The table of segments as it was last sent to the device: `sgd::Segment` of `cuda/sgd.cu`, four words each.
    sent: Vec<i32>,
    table: Option<Tensor>,
}

/// All groups.
#[derive(Debug)]
pub struct FlatParams {
    /// None of them empty.
    pub groups: Vec<Group>,
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
            let group = Group {
                values: array(DType::F32)?,
                grads: array(if narrow { weights } else { DType::F32 })?,
                momenta: array(DType::F32)?,
                copy: narrow.then(|| array(weights)).transpose()?,
                places,
                sent: Vec::new(),
                table: None,
            };
            for &(i, offset) in &group.places {
                let spec = &specs[i];
                let part = |of: &Tensor| of.part(offset * of.dtype().bytes(), spec.shape, of.dtype());
                params[i] = Some(Param {
                    name: spec.name.clone(),
                    value: part(&group.values),
                    copy: group.copy.as_ref().map(part),
                    grad: part(&group.grads),
                    momentum: part(&group.momenta),
                    lr_mult: spec.lr_mult,
                    decay_mult: 1.0,
                });
            }
            groups.push(group);
        }
        Ok((params.into_iter().flatten().collect(), FlatParams { groups }))
    }
}

impl Group {
    /// Sends the table of segments for these multipliers if it has changed: in a run before the first step.
    ///
    /// # Errors
    /// What the device reports.
    pub fn update_segments(&mut self, device: &Device, params: &[Param], weight_decay: f32) -> Result<()> {
        let mut table = Vec::with_capacity(self.sent.len());
        for &(i, offset) in &self.places {
            let param = &params[i];
            if param.lr_mult == 0.0 {
                continue;
            }
            let n = param.value.shape().len();
            let decay = weight_decay * param.decay_mult;
            for start in (0..n).step_by(SEGMENT) {
                let (offset, length) = ((offset + start) as u32, SEGMENT.min(n - start) as u32);
                let words = [offset, length, param.lr_mult.to_bits(), decay.to_bits()];
                table.extend(words.map(u32::cast_signed));
            }
        }
        if self.sent != table {
            self.table = Some(Tensor::from_i32(device, [table.len()], &table)?);
            self.sent = table;
        }
        Ok(())
    }

    /// The table as it was last sent, and how many segments it has; none before that and where nothing moves.
    pub fn segments(&self) -> Option<(&Tensor, usize)> {
        self.table.as_ref().map(|table| (table, self.sent.len() / 4)).filter(|(_, count)| *count > 0)
    }
}
