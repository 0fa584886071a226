//! Embedding: linear layers between the pooled feature and the neck or classifier.
//!
//! Layer l computes W_l x + b_l, then batch normalisation, then a ReLU. All but the last layer have both; the settings
//! choose them for the last. Known heads of this form:
//!
//! | head | widths | last layer |
//! |---|---|---|
//! | TriNet (Hermans et al. 2017) | 1024, 128 | bias, orthogonal |
//! | `resnet50_fc512` of torchreid | 512 | batch normalisation, ReLU |
//! | layumi's baseline | 512 | batch normalisation |
//! | SVDNet (Sun et al. 2017) | 1024 | no bias, normal with deviation 0.01 |
//!
//! A layer in front of batch normalisation has no bias: the mean would cancel it. The statistics are those of the
//! batch, also where `solver.batchnorm` freezes those of the backbone, because an embedding is new; a layer of
//! `solver.freeze` keeps its own.
//!
//! The names in weight files count the modules of a PyTorch `Sequential` of `Linear`, `BatchNorm1d` and `ReLU`, as
//! torchreid's `fc` does, so that such a module reads them: `embedding.0.weight`, `embedding.1.running_mean`,
//! `embedding.3.weight`.

use crate::Result;
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Params, Tape, Var};
use crate::config::{self, EmbeddingInit};
use crate::ops::batchnorm::{BatchNorm, EPS, Epilogue, Statistics, batchnorm};
use crate::ops::linear::linear;
use crate::ops::relu::relu;

/// The start of the names of the embedding's tensors in weight files.
pub const EMBEDDING: &str = "embedding.";

/// Linear layers on features.
#[derive(Clone, Debug)]
pub struct Embedding {
    layers: Vec<Layer>,
    width: usize,
}

/// A linear layer with what follows it.
#[derive(Clone, Copy, Debug)]
struct Layer {
    weight: ParamId,
    bias: Option<ParamId>,
    norm: Option<Norm>,
    relu: bool,
}

/// The parameters and running statistics of a batch normalisation.
#[derive(Clone, Copy, Debug)]
struct Norm {
    gamma: ParamId,
    beta: ParamId,
    mean: BufferId,
    var: BufferId,
}

/// A layer of an embedding with its batch normalisation folded in: y = W x + b, then a ReLU if `relu`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// The name in weight files, such as `embedding.0`.
    pub name: String,
    /// W, `[outputs, inputs]`, row by row.
    pub weight: Vec<f32>,
    /// b, `[outputs]`.
    pub bias: Vec<f32>,
    /// Whether a ReLU follows.
    pub relu: bool,
}

impl Embedding {
    /// Adds the layers of the settings behind a feature of `inputs` values to `specs`; `None` if the settings have no
    /// embedding. `lr_mult` is the factor on the learning rate of all its parameters.
    pub fn new(model: &config::Model, inputs: usize, lr_mult: f32, specs: &mut ParamSpecs) -> Option<Self> {
        let (&width, hidden) = model.embedding.split_last()?;
        let (mut layers, mut inputs, mut module) = (Vec::new(), inputs, 0);
        let mut add = |outputs: usize, init: Init, (bias, norm, relu): (bool, bool, bool)| {
            let name = |offset: usize, tensor: &str| format!("{EMBEDDING}{}.{tensor}", module + offset);
            let weight = specs.add_with(name(0, "weight"), [outputs, inputs], init, lr_mult);
            let zeros = Init::Constant(0.0);
            let bias = bias.then(|| specs.add_with(name(0, "bias"), [outputs], zeros, lr_mult));
            let norm = norm.then(|| Norm {
                gamma: specs.add_with(name(1, "weight"), [outputs], Init::Constant(1.0), lr_mult),
                beta: specs.add_with(name(1, "bias"), [outputs], zeros, lr_mult),
                mean: specs.add_buffer(name(1, "running_mean"), [outputs], 0.0),
                var: specs.add_buffer(name(1, "running_var"), [outputs], 1.0),
            });
            module += 1 + usize::from(norm.is_some()) + usize::from(relu);
            inputs = outputs;
            layers.push(Layer { weight, bias, norm, relu });
        };
        for &outputs in hidden {
            add(outputs, he(outputs), (false, true, true));
        }
        let norm = model.embedding_batchnorm;
        let init = match model.embedding_init {
            EmbeddingInit::He => he(width),
            EmbeddingInit::Orthogonal => Init::Orthogonal { rows: width },
            EmbeddingInit::Normal(std) => Init::Normal(std),
        };
        add(width, init, (model.embedding_bias && !norm, norm, model.embedding_relu));
        Some(Embedding { layers, width })
    }

    /// Number of values of an embedded feature.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The weight of the last layer, `[D, inputs]`.
    ///
    /// # Panics
    /// Never: an embedding has a layer.
    pub fn last_weight(&self) -> ParamId {
        self.layers.last().expect("an embedding has a layer").weight
    }

    /// Embeds features `[m, C]`: `[m, D]`.
    ///
    /// # Errors
    /// If the features have another width, or a batch of one image for batch statistics.
    pub fn forward(&self, tape: &mut Tape<'_>, features: Var, statistics: Statistics) -> Result<Var> {
        self.layers.iter().try_fold(features, |x, layer| {
            let weight = tape.param(layer.weight);
            let bias = layer.bias.map(|bias| tape.param(bias));
            let y = linear(tape, x, weight, bias)?;
            match layer.norm {
                Some(Norm { gamma, beta, mean, var }) => {
                    let statistics = statistics.unless_frozen(tape, gamma);
                    let bn = BatchNorm { gamma: tape.param(gamma), beta: tape.param(beta), mean, var };
                    batchnorm(tape, y, bn, statistics, Epilogue { residual: None, relu: layer.relu })
                }
                None if layer.relu => relu(tape, y),
                None => Ok(y),
            }
        })
    }

    /// The layers with their running statistics folded in, computed in f64 and rounded once.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn folded(&self, params: &Params) -> Result<Vec<Dense>> {
        self.layers.iter().map(|layer| layer.folded(params)).collect()
    }
}

/// He's initialisation of a layer with `outputs` outputs.
fn he(outputs: usize) -> Init {
    Init::he_fan_out([outputs, 1, 1, 0])
}

impl Layer {
    fn folded(&self, params: &Params) -> Result<Dense> {
        let param = |id: ParamId| params.get(id).value.to_host_f32();
        let own = params.get(self.weight);
        let mut weight = own.value.to_host_f32()?;
        let outputs = own.value.shape().dims()[0];
        let mut bias = self.bias.map_or(Ok(vec![0.0; outputs]), param)?;
        if let Some(Norm { gamma, beta, mean, var }) = self.norm {
            let (gamma, beta) = (param(gamma)?, param(beta)?);
            let [mean, var] = [mean, var].map(|id| params.buffer(id).to_host_f32());
            let (mean, var) = (mean?, var?);
            let rows = weight.chunks_exact_mut(own.value.shape().last()).zip(&mut bias);
            for (k, (row, bias)) in rows.enumerate() {
                let gain = f64::from(gamma[k]) / (f64::from(var[k]) + f64::from(EPS)).sqrt();
                row.iter_mut().for_each(|w| *w = (gain * f64::from(*w)) as f32);
                *bias = (gain * (f64::from(*bias) - f64::from(mean[k])) + f64::from(beta[k])) as f32;
            }
        }
        let name = own.name.strip_suffix(".weight").unwrap_or(&own.name).to_string();
        Ok(Dense { name, weight, bias, relu: self.relu })
    }
}
