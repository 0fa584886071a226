//! A parameter and its declaration.

use super::Init;
use crate::Result;
use crate::element::Shape;
use crate::tensor::Tensor;

/// A parameter: a tensor that training updates, with its gradient.
#[derive(Debug)]
pub struct Param {
    /// The name, which is the key in weight files: `layer1.0.conv1.weight`.
    pub name: String,
    /// The weights, f32. Use [`Param::load`] to set them from the host.
    pub value: Tensor,
    /// The bf16 copy of the weights for matrix products, on a device that computes in bf16. [`crate::ops::sgd`] updates
    /// both.
    pub compute_copy: Option<Tensor>,
    /// The gradient of the last backward pass, of the type of [`Param::weight`].
    pub grad: Tensor,
    /// The initial values, for [`super::Params::initialise`].
    pub init: Init,
    /// The factor on the learning rate; a parameter with factor 0 is not updated.
    pub lr_mult: f32,
    /// The factor on the weight decay.
    pub decay_mult: f32,
    /// A frozen parameter is not updated and has no gradient, and batch normalisation with a frozen scale takes and
    /// keeps its running statistics.
    pub frozen: bool,
    /// The number of the first step that updates the parameter: the optimiser counts its steps from there, as PyTorch
    /// does of a parameter that had no gradient before.
    pub first_step: u32,
}

impl Param {
    /// Whether the optimiser updates the parameter, which then needs a gradient.
    pub fn is_updated(&self) -> bool {
        !self.frozen && self.lr_mult != 0.0
    }

    /// The weights in the element type of the device's matrix products.
    pub fn weight(&self) -> &Tensor {
        self.compute_copy.as_ref().unwrap_or(&self.value)
    }

    /// Copies `values` from host memory to the weights and their bf16 copy.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If `values` has another length, or a tape still holds the weights.
    pub fn load(&mut self, values: &[f32]) -> Result<()> {
        self.value.copy_from_host_f32(values)?;
        match &mut self.compute_copy {
            Some(copy) => copy.convert_from(&self.value),
            None => Ok(()),
        }
    }
}

/// The declaration of a parameter.
#[derive(Clone, Debug)]
pub(super) struct ParamSpec {
    pub name: String,
    pub shape: Shape,
    pub init: Init,
    pub lr_mult: f32,
}
