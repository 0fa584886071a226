//! The network: ResNet from conv1 to its last feature map ([`resnet`]), its [`pooling`] to pool5, an optional
//! [`embedding`], an optional [`neck`], and the two-branch head ([`head`]). On the CPU inference uses a [`folded`] backbone.
//!
//! A [`Model`] holds the structure and the parameters' ids; the parameters' values are in [`Params`]. The names are
//! torchvision's, so that a weight file needs no renaming.
//!
//! Book: [chapter 9](../../../../docs/book/src/09-resnet.md).

pub mod attributes;
pub mod embedding;
pub mod folded;
pub mod head;
pub mod neck;
pub mod pooling;
pub mod projection;
pub mod resnet;
pub mod verification;

use crate::autograd::{ParamSpecs, Params, Tape, Var};
use crate::config::{Config, NeckKind};
use crate::device::Device;
use crate::element::DType;
use crate::ops::batchnorm::Statistics;
use crate::{Error, Result};
use embedding::Embedding;
pub use head::Outputs;
use head::{FeaturesOfBatch, Head, Widths};
use neck::Neck;
use pooling::Pooling;
use projection::Projection;
use resnet::{ResNet, Spec};

/// The network: backbone, pooling, embedding, neck and head.
#[derive(Clone, Debug)]
pub struct Model {
    /// The backbone, conv1 to the last feature map.
    pub backbone: ResNet,
    /// The pooling of the last feature map to pool5.
    pub pooling: Pooling,
    /// The linear layers behind pool5; `None` for the paper's network.
    pub embedding: Option<Embedding>,
    /// The batch normalisation of the features; `None` for the paper's network.
    pub neck: Option<Neck>,
    /// The classifier and class centers; `None` for feature extraction.
    pub head: Option<Head>,
}

impl Model {
    /// The network of `config` for these identities, with initial parameters: convolutions by He et al. 2015
    /// (normal, fan-out), batch-norm scales 1, the classifier normal with deviation 0.001, a pooling exponent 3, an
    /// embedding as the settings say, all others 0. With 0 classes the network has no head, and its parameters are 0
    /// until trained weights are loaded.
    ///
    /// # Errors
    /// As [`Model::declare`]; if the device lacks the memory.
    pub fn new<'a>(
        config: &Config,
        outputs: impl Into<Outputs<'a>>,
        device: &Device,
    ) -> Result<(Self, Params)> {
        let (model, specs) = Model::declare(config, outputs, device)?;
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
    /// A width or stem that bf16 convolutions of a GPU do not support; attributes whose table does not fit their values.
    pub fn declare<'a>(
        config: &Config,
        outputs: impl Into<Outputs<'a>>,
        device: &Device,
    ) -> Result<(Self, ParamSpecs)> {
        let outputs = outputs.into();
        let spec = Spec::of(&config.model);
        let odd =
            [("width", spec.width), ("stem", spec.stem)].into_iter().find(|(_, n)| !n.is_multiple_of(8));
        if let (Device::Cuda(_), DType::BF16, Some((key, channels))) = (device, device.activations(), odd) {
            return Err(Error::Config(format!(
                "model.{key} is {channels}, and precision bf16 needs a multiple of 8 on CUDA, as cuDNN's 16-bit \
                 convolutions do; set another model.{key} or choose precision tf32"
            )));
        }
        let mut specs = ParamSpecs::default();
        let backbone = ResNet::new(&spec, &mut specs);
        let (pool5, lr_mult) = (backbone.features(), config.solver.head_rate);
        let pooling = Pooling::new(config.model.pooling, lr_mult, &mut specs);
        let embedding = Embedding::new(&config.model, pool5, lr_mult, &mut specs);
        let features = embedding.as_ref().map_or(pool5, Embedding::width);
        let neck = match config.model.neck {
            NeckKind::None => None,
            NeckKind::Batchnorm => Some(Neck::new(features, lr_mult, &mut specs)),
        };
        let widths = Widths { pool5, embedding: features };
        let head = match outputs.classes {
            0 => None,
            _ => Some(Head::new(widths, outputs, neck.is_none(), config, &mut specs, device)?),
        };
        Ok((Model { backbone, pooling, embedding, neck, head }, specs))
    }

    /// The name of the layer whose output is the feature, as files of features and ONNX files state it: `pool5`,
    /// `embedding`, or `neck` for the feature behind the neck.
    pub fn layer(&self) -> &'static str {
        match (&self.neck, &self.embedding) {
            (Some(_), _) => "neck",
            (None, Some(_)) => "embedding",
            (None, None) => "pool5",
        }
    }

    /// Number of values D of a feature.
    pub fn features(&self) -> usize {
        self.embedding.as_ref().map_or(self.backbone.features(), Embedding::width)
    }

    /// Computes the features `[N, D]` that evaluation compares, from pixels `[N, H, W, 3]`: pool5, or the feature behind
    /// the embedding and the neck.
    ///
    /// # Errors
    /// If the input is too small for the network's strides.
    pub fn embed(&self, tape: &mut Tape<'_>, pixels: Var) -> Result<Var> {
        let map = self.backbone.feature_map(tape, pixels, Statistics::Frozen)?;
        self.embed_map(tape, map)
    }

    /// Computes the features of [`Model::embed`] from the last feature map.
    ///
    /// # Errors
    /// If the map has another number of channels.
    pub fn embed_map(&self, tape: &mut Tape<'_>, map: Var) -> Result<Var> {
        let pool5 = self.pooling.forward(tape, map)?;
        Ok(self.behind(tape, pool5, Statistics::Frozen)?.neck)
    }

    /// Computes pool5 `[N, C]` from pixels `[N, H, W, 3]`, on a GPU with padded channels or without.
    ///
    /// # Errors
    /// If the input is too small for the network's strides.
    pub fn pool5(&self, tape: &mut Tape<'_>, pixels: Var, statistics: Statistics) -> Result<Var> {
        let map = self.backbone.feature_map(tape, pixels, statistics)?;
        self.pooling.forward(tape, map)
    }

    /// Computes all features of a batch from pool5 `[m, C]`. Without an embedding or a neck its feature is the one
    /// before it.
    ///
    /// # Errors
    /// If pool5 has another width, or a batch of one image for batch statistics.
    pub fn behind(&self, tape: &mut Tape<'_>, pool5: Var, statistics: Statistics) -> Result<FeaturesOfBatch> {
        let embedding = match &self.embedding {
            Some(embedding) => embedding.forward(tape, pool5.clone(), statistics)?,
            None => pool5.clone(),
        };
        let neck = match &self.neck {
            Some(neck) => neck.forward(tape, embedding.clone(), statistics)?,
            None => embedding.clone(),
        };
        Ok(FeaturesOfBatch { pool5, embedding, neck })
    }

    /// The layers behind the last feature map with their running statistics, for computations on the host; `None` if
    /// there is only the mean.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn projection(&self, params: &Params) -> Result<Option<Projection>> {
        let layers = self.embedding.as_ref().map(|embedding| embedding.folded(params)).transpose()?;
        let neck = self.neck.as_ref().map(|neck| neck.affine(params)).transpose()?;
        let exponent = self.pooling.exponent(params)?.map(f64::from);
        let any = layers.is_some() || neck.is_some() || exponent.is_some();
        Ok(any.then(|| Projection::new(exponent, layers.unwrap_or_default(), neck)))
    }
}
