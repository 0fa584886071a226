//! The network: ResNet from conv1 to pool5 ([`resnet`]) and the two-branch head ([`head`]).
//!
//! A [`Model`] holds only the wiring and the numbers of its parameters; the parameters themselves are in
//! [`Params`]. Names are torchvision's, so that a weight file needs no dictionary.

pub mod head;
pub mod resnet;

use crate::autograd::{ParamSpecs, Params};
use crate::config::Config;
use crate::device::Device;
use crate::element::DType;
use crate::{Error, Result};
use head::Head;
use resnet::{ResNet, Spec};

/// The whole network.
#[derive(Clone, Debug)]
pub struct Model {
    /// conv1 to pool5.
    pub backbone: ResNet,
    /// Classifier and class centers; absent where only features are wanted.
    pub head: Option<Head>,
}

impl Model {
    /// The network `config` describes, for `classes` identities, with its parameters at their initial values:
    /// convolutions by He et al. 2015 (normal, fan-out), batch-norm scales 1, the classifier normal with
    /// deviation 0.001, all else 0. Without classes it only describes images, and its parameters wait at 0 for
    /// trained ones.
    ///
    /// # Errors
    /// A width or stem that products of 16 bits do not take; if the device lacks the memory.
    pub fn new(config: &Config, classes: usize, device: &Device) -> Result<(Self, Params)> {
        let spec = Spec::of(&config.model);
        let odd =
            [("width", spec.width), ("stem", spec.stem)].into_iter().find(|(_, n)| !n.is_multiple_of(8));
        if let (DType::BF16, Some((key, channels))) = (device.activations(), odd) {
            return Err(Error::Config(format!(
                "precision bf16 needs a model.{key} that is a multiple of 8, not {channels}: cuDNN's 16-bit products take \
                 channels in groups of 8"
            )));
        }
        let mut specs = ParamSpecs::default();
        let backbone = ResNet::new(&spec, &mut specs);
        let head = (classes > 0)
            .then(|| Head::new(backbone.features(), classes, config.solver.head_rate, &mut specs));
        let mut params = Params::new(device, &specs)?;
        if head.is_some() {
            params.initialise(config.run.seed)?;
        }
        Ok((Model { backbone, head }, params))
    }
}
