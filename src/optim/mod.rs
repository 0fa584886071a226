//! Optimisers: updates of parameters by their gradients, with the state of the optimiser.
//!
//! Book: [chapter 10](../../../../docs/book/src/10-optimisers.md).

mod adam;
mod averaged;
mod momentum;

pub use adam::Adam;
pub use averaged::Averaged;
pub use momentum::MomentumSgd;

use crate::Result;
use crate::autograd::Params;
use crate::tensor::Tensor;

/// The kinds of state, each a folder of names in checkpoints: `momentum/conv1.weight`.
const STATES: [&str; 5] = ["momentum", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "ema"];

/// Whether a tensor of a checkpoint with this name is a state of an optimiser, and no weight of a network.
pub fn is_state(name: &str) -> bool {
    name.split_once('/').is_some_and(|(kind, _)| STATES.contains(&kind))
}

/// An optimiser of one set of parameters. The optimiser owns its state and names the state for checkpoints.
///
/// ```
/// use bcreid::autograd::{ParamSpecs, Params};
/// use bcreid::device::Device;
/// use bcreid::ops::sgd::{Convention, Sgd};
/// use bcreid::optim::{MomentumSgd, Optimizer};
/// use bcreid::tensor::Tensor;
///
/// # fn main() -> bcreid::Result<()> {
/// let device = Device::cpu();
/// let mut specs = ParamSpecs::default();
/// let w = specs.add("w", [2]);
/// let mut params = Params::new(&device, &specs)?;
/// params.get_mut(w).grad.copy_from_host_f32(&[1.0, -2.0])?;
///
/// let constants = Sgd { momentum: 0.9, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
/// let mut optimizer = MomentumSgd::new(&params, constants)?;
/// let (lr, number) = (Tensor::full(&device, [1], 0.5)?, Tensor::from_i32(&device, [1], &[0])?);
/// optimizer.step(&mut params, &lr, &number)?;
/// assert_eq!(params.get(w).value.f32(), [-0.5, 1.0]);
/// # Ok(())
/// # }
/// ```
pub trait Optimizer {
    /// Allocates and uploads the tables of a step, so that the step can be captured. Call it once, before the first
    /// step and after the last change of a learning-rate or decay multiplier.
    ///
    /// # Errors
    /// If the device is out of memory.
    fn prepare(&mut self, params: &Params) -> Result<()>;

    /// Updates every parameter by its gradient, at the learning rate `lr` f32 `[1]`. `number` i32 `[1]` is the number
    /// of the step, from 0, as [`crate::autograd::StepValues::step`] holds it. Optimisers implement the two functions
    /// that it calls, because training calls them alone.
    ///
    /// # Errors
    /// A device error.
    fn step(&mut self, params: &mut Params, lr: &Tensor, number: &Tensor) -> Result<()> {
        for section in 0..params.sections() {
            self.step_section(params, section, lr, number)?;
        }
        self.finish_step(params)
    }

    /// As [`Optimizer::step`], for the parameters of one section ([`Params::sections`]): during the backward pass,
    /// behind the last gradient of the section ([`crate::autograd::Tape::backward_by_section`]). A step updates each
    /// section once, in any order, and ends with [`Optimizer::finish_step`].
    ///
    /// # Errors
    /// A device error.
    fn step_section(
        &mut self,
        params: &mut Params,
        section: usize,
        lr: &Tensor,
        number: &Tensor,
    ) -> Result<()>;

    /// Ends a step: all sections are updated.
    ///
    /// # Errors
    /// A device error.
    fn finish_step(&mut self, params: &mut Params) -> Result<()> {
        let _ = params;
        Ok(())
    }

    /// The average of the weights, with the buffers that `params` have now; `None` if the optimiser has none. It takes
    /// the place of `params` in evaluations and in the result of a run.
    ///
    /// # Errors
    /// A device error.
    fn average(&mut self, params: &Params) -> Result<Option<&mut Params>> {
        let _ = params;
        Ok(None)
    }

    /// The state that a resumed run needs: f32 tensors with their names in checkpoints.
    fn state(&self, params: &Params) -> Vec<(String, &Tensor)>;

    /// The state as [`Optimizer::state`] returns it, mutable, for a restore from a checkpoint.
    fn state_mut(&mut self, params: &Params) -> Vec<(String, &mut Tensor)>;
}
