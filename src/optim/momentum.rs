//! Stochastic gradient descent with momentum as an optimiser: [`crate::ops::sgd`] with the velocities of all
//! parameters.
//!
//! Book: [chapter 10](../../../../../docs/book/src/10-optimisers.md).

use super::Optimizer;
use crate::Result;
use crate::autograd::Params;
use crate::ops::sgd::{Sgd, Velocities, sgd_section};
use crate::tensor::Tensor;

/// SGD with momentum: the constants, and the velocities of all parameters.
#[derive(Debug)]
pub struct MomentumSgd {
    constants: Sgd,
    velocities: Velocities,
}

impl MomentumSgd {
    /// Creates the optimiser for these parameters with velocities 0.
    ///
    /// # Errors
    /// If the device is out of memory.
    pub fn new(params: &Params, constants: Sgd) -> Result<Self> {
        Ok(MomentumSgd { constants, velocities: Velocities::new(params)? })
    }

    /// The velocities, f32, in the order of the parameters.
    pub fn velocities(&self) -> &[Tensor] {
        self.velocities.each()
    }
}

/// The key of a parameter's velocity in checkpoints.
fn key(name: &str) -> String {
    format!("momentum/{name}")
}

impl Optimizer for MomentumSgd {
    fn prepare(&mut self, params: &Params) -> Result<()> {
        self.velocities.upload_segments(params, self.constants.weight_decay)
    }

    fn step_section(
        &mut self,
        params: &mut Params,
        section: usize,
        lr: &Tensor,
        _number: &Tensor,
    ) -> Result<()> {
        sgd_section(params, &mut self.velocities, section, lr, self.constants)
    }

    fn state(&self, params: &Params) -> Vec<(String, &Tensor)> {
        let names = params.params().iter().map(|param| key(&param.name));
        names.zip(self.velocities.each()).collect()
    }

    fn state_mut(&mut self, params: &Params) -> Vec<(String, &mut Tensor)> {
        let names = params.params().iter().map(|param| key(&param.name));
        names.zip(self.velocities.each_mut()).collect()
    }
}
