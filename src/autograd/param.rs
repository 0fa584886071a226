//! A parameter and its declaration.

use super::{Init, compute_copy};
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
    /// The copy of the weights for matrix products: of filters in bf16, and on a GPU of an image's filters with the
    /// channels of padded images, 0 in the further ones. Optimisers update both.
    pub compute_copy: Option<Tensor>,
    /// The gradient of the last backward pass, of the type and shape of [`Param::weight`]; gradients of further
    /// channels have no meaning.
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

    /// The weights as the device's matrix products read them.
    pub fn weight(&self) -> &Tensor {
        self.compute_copy.as_ref().unwrap_or(&self.value)
    }

    /// Copies `values` from host memory to the weights and their copy.
    ///
    /// # Errors
    /// A device error.
    ///
    /// # Panics
    /// If `values` has another length, or a tape still holds the weights.
    pub fn load(&mut self, values: &[f32]) -> Result<()> {
        self.value.copy_from_host_f32(values)?;
        self.fill_compute_copy()
    }

    /// Makes the copy equal to the weights, after a change by something else than an optimiser.
    ///
    /// # Errors
    /// A device error.
    pub fn fill_compute_copy(&mut self) -> Result<()> {
        match &mut self.compute_copy {
            Some(copy) => compute_copy::fill(copy, &self.value),
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
