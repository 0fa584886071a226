//! The velocities of all parameters, and on a GPU the tables of segments for the launches.
//!
//! Book: [chapter 10](../../../../../../docs/book/src/10-optimisers.md).

use crate::Result;
use crate::autograd::Params;
use crate::ops::param_state::{ParamState, Segments};
use crate::tensor::Tensor;

/// The velocity of each parameter, f32. On a GPU the velocities are views of flat arrays, one for each section of
/// parameters.
#[derive(Debug)]
pub struct Velocities {
    pub(super) state: ParamState,
    pub(super) segments: Segments,
}

impl Velocities {
    /// Allocates velocities of 0 for these parameters.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &Params) -> Result<Self> {
        Ok(Velocities { state: ParamState::zeros(params, "velocities")?, segments: Segments::new(params) })
    }

    /// The velocities in the order of the parameters.
    pub fn each(&self) -> &[Tensor] {
        self.state.each()
    }

    /// The velocities in the order of the parameters, mutable.
    pub fn each_mut(&mut self) -> &mut [Tensor] {
        self.state.each_mut()
    }

    /// Uploads the tables of segments if multipliers or weight decay have changed; does nothing on the CPU.
    ///
    /// # Errors
    /// A device error.
    pub fn upload_segments(&mut self, params: &Params, weight_decay: f32) -> Result<()> {
        (0..params.sections()).try_for_each(|section| self.segments.upload(params, section, weight_decay))
    }
}
