//! Optimisers: how parameters move by their gradients, and the state that this takes.

mod momentum;

pub use momentum::MomentumSgd;

use crate::Result;
use crate::autograd::Params;
use crate::tensor::Tensor;

/// An optimiser of one set of parameters. It owns its state and names it for checkpoints.
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
/// let constants = Sgd { momentum: 0.9, weight_decay: 0.0, convention: Convention::PyTorch };
/// let mut optimizer = MomentumSgd::new(&params, constants)?;
/// optimizer.step(&mut params, &Tensor::full(&device, [1], 0.5)?)?;
/// assert_eq!(params.get(w).value.f32(), [-0.5, 1.0]);
/// # Ok(())
/// # }
/// ```
pub trait Optimizer {
    /// Allocates and uploads all that a step needs and keeps, so that a step can be captured. To be called before the first
    /// step, after the last change of a rate or decay multiplier.
    ///
    /// # Errors
    /// If the device lacks the memory.
    fn prepare(&mut self, params: &Params) -> Result<()>;

    /// Moves every parameter by its gradient, at the learning rate `lr` f32 `[1]`.
    ///
    /// # Errors
    /// Errors of the device.
    fn step(&mut self, params: &mut Params, lr: &Tensor) -> Result<()>;

    /// The state that a resumed run needs: names as in checkpoints, and f32 tensors.
    fn state(&self, params: &Params) -> Vec<(String, &Tensor)>;

    /// As [`Optimizer::state`], to be restored.
    fn state_mut(&mut self, params: &Params) -> Vec<(String, &mut Tensor)>;
}
