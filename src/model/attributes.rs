//! Attribute heads (Lin et al. 2017, "Improving Person Re-identification by Attribute and Identity Learning"): a
//! classifier for each attribute of a person, beside that of the identities.
//!
//! feature -> dropout (the mask of the classifier of identities) -> FC D to K_1 + ... + K_M -> the softmax loss of each
//! attribute, their mean ([`crate::ops::attributes`]). The classifiers are one matrix, whose rows are the values of the
//! attributes in the order of the file ([`Attributes`]).

use crate::Result;
use crate::autograd::{Init, ParamId, ParamSpecs, Tape, Var};
use crate::data::Attributes;
use crate::device::Device;
use crate::ops::attributes::{Targets, attributes};
use crate::ops::gather::gather;
use crate::ops::linear::linear;
use crate::tensor::Tensor;

/// The start of the names of the heads' tensors in weight files.
pub const ATTRIBUTES: &str = "attributes.";

/// The classifiers of all attributes, with the attributes of each identity.
#[derive(Clone, Debug)]
pub struct AttributeHeads {
    weight: ParamId,
    bias: ParamId,
    targets: Targets,
}

impl AttributeHeads {
    /// Adds `attributes.weight` `[K_1 + ... + K_M, features]` with the initial values `init` and `attributes.bias` to
    /// `specs`, and sends the attributes of the identities to the device. `lr_mult` is the factor on their learning
    /// rate.
    ///
    /// # Errors
    /// Attributes whose table does not fit their values; errors of the device.
    pub fn new(
        of: &Attributes,
        features: usize,
        init: Init,
        lr_mult: f32,
        specs: &mut ParamSpecs,
        device: &Device,
    ) -> Result<Self> {
        let targets = Targets::new(device, &of.sizes(), &of.table)?;
        let columns = targets.columns();
        Ok(AttributeHeads {
            weight: specs.add_with(format!("{ATTRIBUTES}weight"), [columns, features], init, lr_mult),
            bias: specs.add_with(format!("{ATTRIBUTES}bias"), [columns], Init::Constant(0.0), lr_mult),
            targets,
        })
    }

    /// Computes the loss `[1]` of features `x` `[m, D]` behind the dropout and labels i32 `[N m]` of all N ranks.
    ///
    /// # Errors
    /// If a label is not below the number of identities; errors of the device.
    pub fn loss(&self, tape: &mut Tape<'_>, x: Var, labels: &Tensor) -> Result<Var> {
        let (weight, bias) = (tape.param(self.weight), tape.param(self.bias));
        let logits = linear(tape, x, weight, bias)?;
        let logits = gather(tape, logits)?;
        attributes(tape, logits, labels, &self.targets)
    }
}
