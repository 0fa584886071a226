//! What changes from step to step, as device values.
//!
//! Kernels read these through the device and never as arguments from the host, so that a step can be
//! recorded once and replayed: only the contents change.

use crate::Result;
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;

/// Seed, step number, learning rate and loss weights of the step being computed.
#[derive(Clone, Debug)]
pub struct StepValues {
    /// The run's seed: constant, so a plain number.
    pub seed: u64,
    /// i32 `[1]`: the step number, from 0.
    pub step: Tensor,
    /// f32 `[1]`: learning rate of the weights.
    pub rate: Tensor,
    /// f32 `[1]`: lambda of equation (9), the weight of the batch-contrastive loss.
    pub lambda: Tensor,
    /// f32 `[1]`: learning rate of the class centers.
    pub center_rate: Tensor,
    /// What the four are parts of on a GPU, so that one copy sends them.
    together: Option<Tensor>,
}

/// Bytes from one value to the next where they are parts: parts begin at such multiples.
const PLACE: usize = 16;

impl StepValues {
    /// Step 0 with all rates 0.
    ///
    /// # Errors
    /// If the device lacks the memory.
    pub fn new(device: &Device, seed: u64) -> Result<Self> {
        let together = match device {
            Device::Cpu(_) => None,
            Device::Cuda(_) => Some(Tensor::cleared(device, [4 * PLACE], DType::U8)?),
        };
        let value = |place: usize, dtype| match &together {
            Some(whole) => Ok(whole.part(place * PLACE, [1], dtype)),
            None => Tensor::cleared(device, [1], dtype),
        };
        Ok(StepValues {
            seed,
            step: value(0, DType::I32)?,
            rate: value(1, DType::F32)?,
            lambda: value(2, DType::F32)?,
            center_rate: value(3, DType::F32)?,
            together,
        })
    }

    /// Sends the values of the next step to the device, behind all work so far, and does not wait for them to arrive.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If a tape still holds the values of the last step, on the CPU.
    pub fn set(&mut self, step: u64, rate: f32, lambda: f32, center_rate: f32) -> Result<()> {
        let words = [
            (step as i32).to_ne_bytes(),
            rate.to_ne_bytes(),
            lambda.to_ne_bytes(),
            center_rate.to_ne_bytes(),
        ];
        if let Some(together) = &mut self.together {
            let mut bytes = [0; 4 * PLACE];
            bytes
                .chunks_exact_mut(PLACE)
                .zip(words)
                .for_each(|(place, word)| place[..4].copy_from_slice(&word));
            return together.upload_async(&bytes);
        }
        let values = [&mut self.step, &mut self.rate, &mut self.lambda, &mut self.center_rate];
        values.into_iter().zip(words).try_for_each(|(value, word)| value.upload_async(&word))
    }
}
