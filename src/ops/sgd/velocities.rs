//! The velocities of all parameters, and on a GPU the table of segments that one launch moves.

use crate::Result;
use crate::autograd::{FlatGroup, Param, Params};
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;

/// Elements of a segment at most, so that blocks have even work although parameters differ in size by a factor of
/// 10,000 (`cuda/sgd.cu`).
const SEGMENT: usize = 4096;

/// A velocity for each parameter, f32; on a GPU they are parts of one flat array for each of the parameters'.
#[derive(Debug)]
pub struct Velocities {
    each: Vec<Tensor>,
    flat: Vec<FlatVelocities>,
}

/// Beside one group of flat parameters, at the same offsets.
#[derive(Debug)]
pub(super) struct FlatVelocities {
    /// f32, as long as the group's arrays.
    pub values: Tensor,
    /// The table of segments as it was last uploaded: `sgd::Segment` of `cuda/sgd.cu`, four words each.
    uploaded: Vec<i32>,
    table: Option<Tensor>,
}

impl Velocities {
    /// Zeros for these parameters.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn new(params: &Params) -> Result<Self> {
        let device = params.device();
        let Some(flat) = params.flat() else {
            let zeros = |param: &Param| Tensor::zeros(device, param.value.shape());
            return Ok(Velocities {
                each: params.params().iter().map(zeros).collect::<Result<_>>()?,
                flat: Vec::new(),
            });
        };
        let mut each: Vec<Option<Tensor>> = params.params().iter().map(|_| None).collect();
        let mut arrays = Vec::new();
        for group in &flat.groups {
            let values = Tensor::cleared(device, group.values.shape(), DType::F32)
                .map_err(|e| e.about_tensor(format!("the velocities of {} parameters", each.len())))?;
            for &(i, offset) in &group.places {
                let shape = params.params()[i].value.shape();
                each[i] = Some(values.part(offset * DType::F32.bytes(), shape, DType::F32));
            }
            arrays.push(FlatVelocities { values, uploaded: Vec::new(), table: None });
        }
        Ok(Velocities { each: each.into_iter().flatten().collect(), flat: arrays })
    }

    /// In the order of the parameters.
    pub fn each(&self) -> &[Tensor] {
        &self.each
    }

    /// In the order of the parameters, to be restored.
    pub fn each_mut(&mut self) -> &mut [Tensor] {
        &mut self.each
    }

    pub(super) fn flat(&self) -> &[FlatVelocities] {
        &self.flat
    }

    /// Uploads the tables of segments for the parameters' multipliers where they have changed. No work on the CPU.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn upload_segments(&mut self, params: &Params, weight_decay: f32) -> Result<()> {
        let groups = params.flat().into_iter().flat_map(|flat| &flat.groups);
        self.flat.iter_mut().zip(groups).try_for_each(|(velocities, group)| {
            velocities.upload_segments(params.device(), group, params.params(), weight_decay)
        })
    }
}

impl FlatVelocities {
    fn upload_segments(
        &mut self,
        device: &Device,
        group: &FlatGroup,
        params: &[Param],
        weight_decay: f32,
    ) -> Result<()> {
        let mut table = Vec::with_capacity(self.uploaded.len());
        for &(i, offset) in &group.places {
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
        if self.uploaded != table {
            self.table = Some(Tensor::from_i32(device, [table.len()], &table)?);
            self.uploaded = table;
        }
        Ok(())
    }

    /// The table as it was last uploaded, and its number of segments; none before that and where nothing moves.
    pub fn segments(&self) -> Option<(&Tensor, usize)> {
        self.table.as_ref().map(|table| (table, self.uploaded.len() / 4)).filter(|(_, count)| *count > 0)
    }
}
