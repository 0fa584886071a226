//! A parameter, and what is known of one before there is memory for it.

use super::Init;
use crate::Result;
use crate::element::Shape;
use crate::tensor::Tensor;

/// A learned tensor with its gradient.
#[derive(Debug)]
pub struct Param {
    /// Its name, the key in weight files: `layer1.0.conv1.weight`.
    pub name: String,
    /// The weights, f32. Whoever changes them from the host does it by [`Param::load`].
    pub value: Tensor,
    /// The weights as products of 16 bits take them, where the device computes in such. [`crate::ops::sgd`] keeps
    /// the two alike.
    pub copy: Option<Tensor>,
    /// The gradient of the last backward pass, of the type of [`Param::weight`].
    pub grad: Tensor,
    /// How [`super::Params::initialise`] starts it.
    pub init: Init,
    /// Multiplies the learning rate; 0 keeps the parameter as it is.
    pub lr_mult: f32,
    /// Multiplies the weight decay.
    pub decay_mult: f32,
}

impl Param {
    /// The weights in the type the device multiplies them in.
    pub fn weight(&self) -> &Tensor {
        self.copy.as_ref().unwrap_or(&self.value)
    }

    /// Overwrites the weights, and their copy, from host memory.
    ///
    /// # Errors
    /// Errors of the device.
    ///
    /// # Panics
    /// If `values` has another length, or a tape still holds the weights.
    pub fn load(&mut self, values: &[f32]) -> Result<()> {
        self.value.copy_from_host_f32(values)?;
        match &mut self.copy {
            Some(copy) => copy.convert_from(&self.value),
            None => Ok(()),
        }
    }
}

/// A parameter to be made; it starts at 0.
#[derive(Clone, Debug)]
pub(super) struct ParamSpec {
    pub name: String,
    pub shape: Shape,
    pub init: Init,
    pub lr_mult: f32,
}
