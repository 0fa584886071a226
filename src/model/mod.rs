//! The network: ResNet from conv1 to pool5 ([`resnet`]) and the two-branch head ([`head`]).
//!
//! A [`Model`] holds the structure and the parameters' ids; the parameters' values are in [`Params`]. The names are
//! torchvision's, so that a weight file needs no renaming.

pub mod head;
pub mod resnet;

use crate::autograd::{ParamSpecs, Params};
use crate::config::Config;
use crate::device::Device;
use crate::element::DType;
use crate::{Error, Result};
use head::Head;
use resnet::{ResNet, Spec};

/// The network: backbone and head.
#[derive(Clone, Debug)]
pub struct Model {
    /// The backbone, conv1 to pool5.
    pub backbone: ResNet,
    /// The classifier and class centers; `None` for feature extraction.
    pub head: Option<Head>,
}

impl Model {
    /// The network of `config` for `classes` identities, with initial parameters: convolutions by He et al. 2015
    /// (normal, fan-out), batch-norm scales 1, the classifier normal with deviation 0.001, all others 0. With 0 classes
    /// the network has no head, and its parameters are 0 until trained weights are loaded.
    ///
    /// # Errors
    /// As [`Model::declare`]; if the device lacks the memory.
    pub fn new(config: &Config, classes: usize, device: &Device) -> Result<(Self, Params)> {
        let (model, specs) = Model::declare(config, classes, device)?;
        let mut params = Params::new(device, &specs)?;
        if model.head.is_some() {
            params.initialise(config.run.seed)?;
        }
        Ok((model, params))
    }

    /// The structure of [`Model::new`] with the names and shapes of its parameters, without memory for them. Settings
    /// from a file are compared with the file's tensors at this point.
    ///
    /// # Errors
    /// A width or stem that bf16 convolutions do not support.
    pub fn declare(config: &Config, classes: usize, device: &Device) -> Result<(Self, ParamSpecs)> {
        let spec = Spec::of(&config.model);
        let odd =
            [("width", spec.width), ("stem", spec.stem)].into_iter().find(|(_, n)| !n.is_multiple_of(8));
        if let (DType::BF16, Some((key, channels))) = (device.activations(), odd) {
            return Err(Error::Config(format!(
                "model.{key} is {channels}, and precision bf16 needs a multiple of 8, as cuDNN's 16-bit convolutions \
                 do; set another model.{key} or choose precision tf32"
            )));
        }
        let mut specs = ParamSpecs::default();
        let backbone = ResNet::new(&spec, &mut specs);
        let head = (classes > 0)
            .then(|| Head::new(backbone.features(), classes, config.solver.head_rate, &mut specs));
        Ok((Model { backbone, head }, specs))
    }
}
