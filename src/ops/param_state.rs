//! Optimiser state, one f32 tensor for each parameter, and on a GPU the tables of segments, so that one launch updates
//! all parameters of a section.
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md).

use crate::autograd::{FlatSection, Param, Params, Place};
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The most elements of a segment. Segments balance the work of blocks, since parameters differ in size by a factor of
/// 10,000 (`cuda/segment.cuh`).
const SEGMENT: usize = 4096;

/// Words of `Segment` in `cuda/segment.cuh`.
const SEGMENT_WORDS: usize = 8;

/// A size or an offset as `Segment` has it.
///
/// # Errors
/// 2^32 or more, which no array of `FlatParams` has.
fn word(elements: usize) -> Result<u32> {
    u32::try_from(elements).map_err(|_| {
        Error::Device(format!(
            "optimiser: an offset of {elements} elements does not fit into 32 bits; use a smaller network"
        ))
    })
}

/// One f32 tensor for each parameter, of its shape. On a GPU the tensors are views of flat arrays, one for each
/// section of parameters, with the section's offsets.
#[derive(Debug)]
pub(super) struct ParamState {
    each: Vec<Tensor>,
    flat: Vec<Tensor>,
}

impl ParamState {
    /// Allocates a state of zeros for these parameters. `name` is the state's name in errors.
    pub fn zeros(params: &Params, name: &str) -> Result<Self> {
        let device = params.device();
        let Some(flat) = params.flat() else {
            let zeros = |param: &Param| Tensor::zeros(device, param.value.shape());
            return Ok(ParamState {
                each: params.params().iter().map(zeros).collect::<Result<_>>()?,
                flat: Vec::new(),
            });
        };
        let mut each: Vec<Option<Tensor>> = params.params().iter().map(|_| None).collect();
        let mut arrays = Vec::new();
        for section in &flat.sections {
            let values = Tensor::cleared(device, section.values.shape(), DType::F32)
                .map_err(|e| e.about_tensor(format!("the {name} of {} parameters", each.len())))?;
            for &Place { param: i, offset, .. } in &section.places {
                let shape = params.params()[i].value.shape();
                each[i] = Some(values.part(offset * DType::F32.bytes(), shape, DType::F32));
            }
            arrays.push(values);
        }
        Ok(ParamState { each: each.into_iter().flatten().collect(), flat: arrays })
    }

    /// In the order of the parameters.
    pub fn each(&self) -> &[Tensor] {
        &self.each
    }

    /// In the order of the parameters, mutable.
    pub fn each_mut(&mut self) -> &mut [Tensor] {
        &mut self.each
    }

    /// The flat arrays in the order of the sections; none on the CPU.
    pub fn flat(&self) -> &[Tensor] {
        &self.flat
    }
}

/// The tables of segments of all sections; none on the CPU.
#[derive(Debug)]
pub(super) struct Segments(Vec<Table>);

/// The table of one section.
#[derive(Debug, Default)]
struct Table {
    /// The last uploaded table: `Segment` of `cuda/segment.cuh`, eight words each.
    uploaded: Vec<i32>,
    tensor: Option<Tensor>,
}

impl Segments {
    /// No table is uploaded yet.
    pub fn new(params: &Params) -> Self {
        Segments(
            params.flat().into_iter().flat_map(|flat| &flat.sections).map(|_| Table::default()).collect(),
        )
    }

    /// Uploads the table of a section if multipliers or weight decay have changed; does nothing on the CPU.
    pub fn upload(&mut self, params: &Params, section: usize, weight_decay: f32) -> Result<()> {
        match params.flat() {
            None => Ok(()),
            Some(flat) => {
                let own = &flat.sections[section];
                self.0[section].upload(params.device(), own, params.params(), weight_decay)
            }
        }
    }

    /// The uploaded table of a section and its number of segments; none before the first upload, or if no parameter of
    /// the section is updated.
    pub fn table(&self, section: usize) -> Option<(&Tensor, usize)> {
        let table = &self.0[section];
        let tensor = table.tensor.as_ref()?;
        Some((tensor, table.uploaded.len() / SEGMENT_WORDS)).filter(|(_, count)| *count > 0)
    }
}

impl Table {
    fn upload(
        &mut self,
        device: &Device,
        section: &FlatSection,
        params: &[Param],
        weight_decay: f32,
    ) -> Result<()> {
        let mut table = Vec::with_capacity(self.uploaded.len());
        for &Place { param: i, offset, wide_offset } in &section.places {
            let param = &params[i];
            if !param.is_updated() {
                continue;
            }
            let n = param.value.shape().len();
            let decay = weight_decay * param.decay_mult;
            let (c, wide) = (param.value.shape().last(), param.grad.shape().last());
            // Whole pixels of a filter whose copy has more channels; offsets stay multiples of 8.
            let most = if c == wide { SEGMENT } else { (SEGMENT / (8 * c)).max(1) * 8 * c };
            for start in (0..n).step_by(most) {
                let words: [u32; SEGMENT_WORDS] = [
                    word(offset + start)?,
                    word(most.min(n - start))?,
                    param.lr_mult.to_bits(),
                    decay.to_bits(),
                    param.first_step,
                    word(wide_offset + if c == wide { start } else { start / c * wide })?,
                    word(c)?,
                    word(wide)?,
                ];
                table.extend(words.map(u32::cast_signed));
            }
        }
        if self.uploaded != table {
            self.tensor = Some(Tensor::from_i32(device, [table.len()], &table)?);
            self.uploaded = table;
        }
        Ok(())
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
