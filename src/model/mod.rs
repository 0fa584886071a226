//! The network: ResNet from conv1 to pool5 ([`resnet`]), an optional [`neck`], and the two-branch head ([`head`]).
//!
//! A [`Model`] holds the structure and the parameters' ids; the parameters' values are in [`Params`]. The names are
//! torchvision's, so that a weight file needs no renaming.

pub mod head;
pub mod neck;
pub mod resnet;

use crate::autograd::{ParamSpecs, Params, Tape, Var};
use crate::config::{Config, NeckKind};
use crate::device::Device;
use crate::element::DType;
use crate::ops::batchnorm::Statistics;
use crate::{Error, Result};
use head::Head;
use neck::Neck;
use resnet::{ResNet, Spec};

/// The network: backbone, neck and head.
#[derive(Clone, Debug)]
pub struct Model {
    /// The backbone, conv1 to pool5.
    pub backbone: ResNet,
    /// The batch normalisation of the features; `None` for the paper's network.
    pub neck: Option<Neck>,
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
        let (features, lr_mult) = (backbone.features(), config.solver.head_rate);
        let neck = match config.model.neck {
            NeckKind::None => None,
            NeckKind::Batchnorm => Some(Neck::new(features, lr_mult, &mut specs)),
        };
        let head = (classes > 0).then(|| Head::new(features, classes, neck.is_none(), lr_mult, &mut specs));
        Ok((Model { backbone, neck, head }, specs))
    }

    /// Number of values D of a feature.
    pub fn features(&self) -> usize {
        self.backbone.features()
    }

    /// Computes the features `[N, D]` that evaluation compares, from pixels `[N, H, W, 3]`: pool5, or the feature behind
    /// the neck.
    ///
    /// # Errors
    /// If the input is too small for the network's strides.
    pub fn embed(&self, tape: &mut Tape<'_>, pixels: Var) -> Result<Var> {
        let pool5 = self.backbone.forward(tape, pixels, Statistics::Frozen)?;
        match &self.neck {
            Some(neck) => neck.forward(tape, pool5, Statistics::Frozen),
            None => Ok(pool5),
        }
    }
}
