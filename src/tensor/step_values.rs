//! What changes from step to step, as device values.
//!
//! Kernels read these through the device and never as arguments from the host, so that a step can be
//! recorded once and replayed: only the contents change.

use super::{DType, Tensor};
use crate::device::Device;

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
}

impl StepValues {
    /// Step 0 with all rates 0.
    pub fn new(device: &Device, seed: u64) -> Self {
        StepValues {
            seed,
            step: Tensor::from_i32(device, [1], &[0]),
            rate: Tensor::zeros(device, [1]),
            lambda: Tensor::zeros(device, [1]),
            center_rate: Tensor::zeros(device, [1]),
        }
    }

    /// Sends the values of the next step to the device.
    ///
    /// # Panics
    /// If a tape still holds the values of the last step.
    pub fn set(&mut self, step: u64, rate: f32, lambda: f32, center_rate: f32) {
        debug_assert_eq!(self.step.dtype(), DType::I32);
        self.step.i32_mut()[0] = step as i32;
        self.rate.copy_from_host_f32(&[rate]);
        self.lambda.copy_from_host_f32(&[lambda]);
        self.center_rate.copy_from_host_f32(&[center_rate]);
    }
}
