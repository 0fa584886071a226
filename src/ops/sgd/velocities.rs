//! The velocities of all parameters, and on a GPU the table of segments for one launch.

use crate::autograd::{FlatGroup, Param, Params};
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The most elements of a segment. Segments balance the work of blocks, since parameters differ in size by a factor of
/// 10,000 (`cuda/sgd.cu`).
const SEGMENT: usize = 4096;

/// A size or an offset as `sgd::Segment` has it.
///
/// # Errors
/// 2^32 or more, which no array of `FlatParams` has.
fn word(elements: usize) -> Result<u32> {
    u32::try_from(elements).map_err(|_| {
        Error::Device(format!(
            "SGD: an offset of {elements} elements does not fit into 32 bits; use a smaller network"
        ))
    })
}

/// The velocity of each parameter, f32. On a GPU the velocities are views of flat arrays, one for each group of
/// parameters.
#[derive(Debug)]
pub struct Velocities {
    each: Vec<Tensor>,
    flat: Vec<FlatVelocities>,
}

/// The flat velocities of one group of parameters, with the same offsets.
#[derive(Debug)]
pub(super) struct FlatVelocities {
    /// The velocities, f32, as long as the group's arrays.
    pub values: Tensor,
    /// The last uploaded table of segments: `sgd::Segment` of `cuda/sgd.cu`, four words each.
    uploaded: Vec<i32>,
    table: Option<Tensor>,
}

impl Velocities {
    /// Allocates velocities of 0 for these parameters.
    ///
    /// # Errors
    /// If the device is out of memory.
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
            for &(i, offset) in &group.offsets {
                let shape = params.params()[i].value.shape();
                each[i] = Some(values.part(offset * DType::F32.bytes(), shape, DType::F32));
            }
            arrays.push(FlatVelocities { values, uploaded: Vec::new(), table: None });
        }
        Ok(Velocities { each: each.into_iter().flatten().collect(), flat: arrays })
    }

    /// The velocities in the order of the parameters.
    pub fn each(&self) -> &[Tensor] {
        &self.each
    }

    /// The velocities in the order of the parameters, mutable.
    pub fn each_mut(&mut self) -> &mut [Tensor] {
        &mut self.each
    }

    pub(super) fn flat(&self) -> &[FlatVelocities] {
        &self.flat
    }

    /// Uploads the tables of segments if multipliers or weight decay have changed; does nothing on the CPU.
    ///
    /// # Errors
    /// A device error.
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
        for &(i, offset) in &group.offsets {
            let param = &params[i];
            if param.lr_mult == 0.0 {
                continue;
            }
            let n = param.value.shape().len();
            let decay = weight_decay * param.decay_mult;
            for start in (0..n).step_by(SEGMENT) {
                let words = [
                    word(offset + start)?,
                    word(SEGMENT.min(n - start))?,
                    param.lr_mult.to_bits(),
                    decay.to_bits(),
                ];
                table.extend(words.map(u32::cast_signed));
            }
        }
        if self.uploaded != table {
            self.table = Some(Tensor::from_i32(device, [table.len()], &table)?);
            self.uploaded = table;
        }
        Ok(())
    }

    /// The uploaded table and its number of segments; none before the first upload, or if no parameter is updated.
    pub fn segments(&self) -> Option<(&Tensor, usize)> {
        self.table.as_ref().map(|table| (table, self.uploaded.len() / 4)).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_beyond_32_bits_is_an_error() {
        assert_eq!(word((1 << 32) - 8).unwrap(), u32::MAX - 7);
        assert!(word(1 << 32).unwrap_err().to_string().contains("4294967296 elements does not fit"));
    }
}
