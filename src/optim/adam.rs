//! Adam, AMSGrad and AdamW as optimisers: [`crate::ops::adam`] with the moments of all parameters.
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md).

use super::Optimizer;
use crate::Result;
use crate::autograd::Params;
use crate::ops::adam::{self, Moments, adam_section};
use crate::tensor::Tensor;

/// Adam: the constants, and the moments of all parameters.
#[derive(Debug)]
pub struct Adam {
    constants: adam::Adam,
    moments: Moments,
}

impl Adam {
    /// Creates the optimiser for these parameters with moments 0; `amsgrad` divides by the largest mean square so far.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &Params, constants: adam::Adam, amsgrad: bool) -> Result<Self> {
        Ok(Adam { constants, moments: Moments::new(params, amsgrad)? })
    }

    /// The moments.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }
}

impl Optimizer for Adam {
    fn prepare(&mut self, params: &Params) -> Result<()> {
        self.moments.upload_segments(params, self.constants.weight_decay)
    }

    fn step_section(
        &mut self,
        params: &mut Params,
        section: usize,
        lr: &Tensor,
        number: &Tensor,
    ) -> Result<()> {
        adam_section(params, &mut self.moments, section, lr, number, self.constants)
    }

    fn state(&self, params: &Params) -> Vec<(String, &Tensor)> {
        let kinds = self.moments.each().into_iter();
        kinds.flat_map(|(kind, each)| names(params, kind).zip(each)).collect()
    }

    fn state_mut(&mut self, params: &Params) -> Vec<(String, &mut Tensor)> {
        let kinds = self.moments.each_mut().into_iter();
        kinds.flat_map(|(kind, each)| names(params, kind).zip(each)).collect()
    }
}

/// The keys of a kind of moment in checkpoints: `exp_avg/conv1.weight`.
fn names(params: &Params, kind: &str) -> impl Iterator<Item = String> {
    params.params().iter().map(move |param| format!("{kind}/{}", param.name))
}
