//! The network: ResNet from conv1 to pool5 ([`resnet`]) and the two-branch head ([`head`]).
//!
//! A [`Model`] holds only the wiring and the numbers of its parameters; the parameters themselves are in
//! [`Params`]. Names are torchvision's, so that a weight file needs no dictionary.

pub mod head;
mod init;
pub mod resnet;

use crate::config::Config;
use crate::device::Device;
use crate::tensor::Params;
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
    pub fn new(config: &Config, classes: usize, device: &Device) -> (Self, Params) {
        let mut params = Params::new(device);
        let backbone = ResNet::new(&Spec::of(&config.model), &mut params);
        let head = (classes > 0)
            .then(|| Head::new(backbone.features(), classes, config.solver.head_rate, &mut params));
        if head.is_some() {
            init::initialise(&mut params, config.run.seed);
        }
        (Model { backbone, head }, params)
    }
}
