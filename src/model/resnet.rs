//! ResNet (He et al. 2016), conv1 to pool5, in two wirings.
//!
//! | | torchvision v1.5 | Caffe v1 |
//! |---|---|---|
//! | stride of a stage | on the 3x3 | on the first 1x1 |
//! | pool1 | 3x3/2, pad 1, floor | 3x3/2, pad 0, ceil |
//! | conv1 | no bias | bias |
//!
//! The basic block (ResNet-18 and -34) strides on its first 3x3 in both.
//!
//! With IBN-a (Pan et al. 2018) the first normalisation of each block of the first three stages is an instance
//! normalisation of the first half of its channels and a batch normalisation of the others.
//!
//! Book: [chapter 9](../../../../../docs/book/src/09-resnet.md).

use crate::Result;
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Tape, Var};
use crate::config::{self, Arch, Wiring};
use crate::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use crate::ops::channels::{join, take};
use crate::ops::conv2d::{Conv, conv2d};
use crate::ops::global_avg_pool::global_avg_pool;
use crate::ops::instancenorm::instancenorm;
use crate::ops::maxpool::{MaxPool, maxpool};
use crate::ops::relu::relu;

/// The architecture of a ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Whether blocks are bottlenecks (1x1, 3x3, 1x1 to four times the channels) or basic blocks (two 3x3).
    pub bottleneck: bool,
    /// Number of blocks in each stage.
    pub depths: [usize; 4],
    /// Inner channels of the blocks of the first stage.
    pub width: usize,
    /// Output channels of conv1.
    pub stem: usize,
    /// The framework whose strides, pooling and bias are used.
    pub wiring: Wiring,
    /// Stride of the last stage, 1 or 2.
    pub last_stride: usize,
    /// IBN-a: instance normalisation of half the channels of bn1 in the first three stages.
    pub ibn: bool,
}

impl Spec {
    /// The architecture of the settings `[model]`.
    pub fn of(model: &config::Model) -> Self {
        let (bottleneck, depths, width) = match model.arch {
            Arch::Resnet18 => (false, [2, 2, 2, 2], 64),
            Arch::Resnet34 => (false, [3, 4, 6, 3], 64),
            Arch::Resnet50 => (true, [3, 4, 6, 3], 64),
            Arch::Resnet101 => (true, [3, 4, 23, 3], 64),
            Arch::Resnet152 => (true, [3, 8, 36, 3], 64),
            Arch::Slim => (true, [2, 2, 2, 2], 16),
        };
        let width = model.width.unwrap_or(width);
        Spec {
            bottleneck,
            depths: model.depths.unwrap_or(depths),
            width,
            stem: model.stem.unwrap_or(width),
            wiring: model.wiring,
            last_stride: model.last_stride,
            ibn: model.ibn,
        }
    }

    /// Names and shapes of the network's parameters and buffers, `conv1` to `pool5`.
    pub fn param_specs(&self) -> ParamSpecs {
        let mut specs = ParamSpecs::default();
        ResNet::new(self, &mut specs);
        specs
    }

    /// Ratio of a block's output channels to its inner channels.
    fn expansion(&self) -> usize {
        if self.bottleneck { 4 } else { 1 }
    }
}

/// The instance normalisation of the first channels behind a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    /// Number of these channels; the others have the batch normalisation.
    pub channels: usize,
    pub gamma: ParamId,
    pub beta: ParamId,
}

/// A convolution and the following normalisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvBn {
    pub weight: ParamId,
    pub bias: Option<ParamId>,
    pub conv: Conv,
    /// `None` but for IBN-a.
    pub instance: Option<Instance>,
    pub gamma: ParamId,
    pub beta: ParamId,
    pub mean: BufferId,
    pub var: BufferId,
}

/// The specification of a [`ConvBn`].
struct ConvBnSpec<'a> {
    conv_name: &'a str,
    bn_name: &'a str,
    channels: (usize, usize),
    kernel: usize,
    stride: usize,
    bias: bool,
    /// Whether the first half of the channels has an instance normalisation.
    ibn: bool,
}

impl ConvBn {
    fn new(layer: &ConvBnSpec<'_>, specs: &mut ParamSpecs) -> Self {
        let ConvBnSpec { conv_name, bn_name, channels: (c, k), kernel, stride, bias, ibn } = *layer;
        let filters = [k, kernel, kernel, c];
        let weight = specs.add_with(format!("{conv_name}.weight"), filters, Init::he_fan_out(filters), 1.0);
        let bias = bias.then(|| specs.add(format!("{conv_name}.bias"), [k]));
        // The names of IBN-Net.
        let instance = ibn.then(|| Instance {
            channels: k / 2,
            gamma: specs.add_with(format!("{bn_name}.IN.weight"), [k / 2], Init::Constant(1.0), 1.0),
            beta: specs.add(format!("{bn_name}.IN.bias"), [k / 2]),
        });
        let (bn_name, k) = match instance {
            Some(Instance { channels, .. }) => (&format!("{bn_name}.BN")[..], k - channels),
            None => (bn_name, k),
        };
        ConvBn {
            weight,
            bias,
            conv: Conv { stride, pad: kernel / 2 },
            instance,
            gamma: specs.add_with(format!("{bn_name}.weight"), [k], Init::Constant(1.0), 1.0),
            beta: specs.add(format!("{bn_name}.bias"), [k]),
            mean: specs.add_buffer(format!("{bn_name}.running_mean"), [k], 0.0),
            var: specs.add_buffer(format!("{bn_name}.running_var"), [k], 1.0),
        }
    }

    fn forward(
        &self,
        tape: &mut Tape<'_>,
        x: Var,
        statistics: Statistics,
        epilogue: Epilogue,
    ) -> Result<Var> {
        let weight = tape.weight(self.weight);
        let bias = self.bias.map(|bias| tape.param(bias));
        let y = conv2d(tape, x, weight, bias, self.conv)?;
        let bn = BatchNorm {
            gamma: tape.param(self.gamma),
            beta: tape.param(self.beta),
            mean: self.mean,
            var: self.var,
        };
        let statistics = statistics.unless_frozen(tape, self.gamma);
        let Some(Instance { channels, gamma, beta }) = self.instance else {
            return batchnorm(tape, y, bn, statistics, epilogue);
        };
        let all = y.shape().last();
        let first = take(tape, y.clone(), 0..channels)?;
        let rest = take(tape, y, channels..all)?;
        let (gamma, beta) = (tape.param(gamma), tape.param(beta));
        let first = instancenorm(tape, first, gamma, beta)?;
        let rest = batchnorm(tape, rest, bn, statistics, Epilogue::default())?;
        let y = join(tape, first, rest)?;
        assert!(
            epilogue.residual.is_none(),
            "only the first convolution of a block has an instance normalisation"
        );
        if epilogue.relu { relu(tape, y) } else { Ok(y) }
    }
}

/// A way to compute the layers of a network: [`Statistics`] computes convolution and normalisation one after the other, a
/// folded network both at once.
pub(super) trait Layers {
    /// Computes a convolution and the following normalisation with its epilogue.
    fn forward(&self, layer: &ConvBn, tape: &mut Tape<'_>, x: Var, epilogue: Epilogue) -> Result<Var>;
}

impl Layers for Statistics {
    fn forward(&self, layer: &ConvBn, tape: &mut Tape<'_>, x: Var, epilogue: Epilogue) -> Result<Var> {
        layer.forward(tape, x, *self, epilogue)
    }
}

/// A residual block: convolutions, and a projection of the shortcut where the shape changes.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub convs: Vec<ConvBn>,
    pub downsample: Option<ConvBn>,
}

impl Block {
    fn new(
        name: &str,
        spec: &Spec,
        (c, inner): (usize, usize),
        stride: usize,
        ibn: bool,
        specs: &mut ParamSpecs,
    ) -> Self {
        let k = inner * spec.expansion();
        let (first, second) = match spec.wiring {
            Wiring::Torchvision if spec.bottleneck => (1, stride),
            _ => (stride, 1),
        };
        // (input channels, output channels), kernel, stride
        let shapes = if spec.bottleneck {
            vec![((c, inner), 1, first), ((inner, inner), 3, second), ((inner, k), 1, 1)]
        } else {
            vec![((c, inner), 3, first), ((inner, k), 3, second)]
        };
        let convs = shapes
            .into_iter()
            .zip(1..)
            .map(|((channels, kernel, stride), n)| {
                let (conv_name, bn_name) = (&format!("{name}.conv{n}"), &format!("{name}.bn{n}"));
                let ibn = ibn && n == 1;
                let layer = ConvBnSpec { conv_name, bn_name, channels, kernel, stride, bias: false, ibn };
                ConvBn::new(&layer, specs)
            })
            .collect();
        let downsample = (stride != 1 || c != k).then(|| {
            let (conv_name, bn_name) = (&format!("{name}.downsample.0"), &format!("{name}.downsample.1"));
            let layer = ConvBnSpec {
                conv_name,
                bn_name,
                channels: (c, k),
                kernel: 1,
                stride,
                bias: false,
                ibn: false,
            };
            ConvBn::new(&layer, specs)
        });
        Block { convs, downsample }
    }

    // ANCHOR: block
    fn forward(&self, tape: &mut Tape<'_>, x: Var, layers: &impl Layers) -> Result<Var> {
        let shortcut = match &self.downsample {
            Some(projection) => layers.forward(projection, tape, x.clone(), Epilogue::default())?,
            None => x.clone(),
        };
        let (last, inner) = self.convs.split_last().expect("a block has convolutions");
        let mut x = x;
        for conv in inner {
            x = layers.forward(conv, tape, x, Epilogue { residual: None, relu: true })?;
        }
        layers.forward(last, tape, x, Epilogue { residual: Some(shortcut), relu: true })
    }
    // ANCHOR_END: block
}

/// A ResNet backbone, conv1 to pool5.
#[derive(Clone, Debug)]
pub struct ResNet {
    pub(crate) stem: ConvBn,
    pub(crate) pool1: MaxPool,
    pub(crate) blocks: Vec<Block>,
    features: usize,
}

impl ResNet {
    /// Adds all parameters and buffers to `specs`, with torchvision's names.
    pub fn new(spec: &Spec, specs: &mut ParamSpecs) -> Self {
        let caffe = spec.wiring == Wiring::Caffe;
        let stem = ConvBnSpec {
            conv_name: "conv1",
            bn_name: "bn1",
            channels: (3, spec.stem),
            kernel: 7,
            stride: 2,
            bias: caffe,
            ibn: false,
        };
        let stem = ConvBn::new(&stem, specs);
        let pool1 = if caffe { MaxPool::CAFFE } else { MaxPool::TORCHVISION };
        let mut blocks = Vec::new();
        let mut channels = spec.stem;
        for (stage, &depth) in spec.depths.iter().enumerate() {
            let inner = spec.width << stage;
            for block in 0..depth {
                let stride = match (block, stage) {
                    (0, 1 | 2) => 2,
                    (0, 3) => spec.last_stride,
                    _ => 1,
                };
                let name = format!("layer{}.{block}", stage + 1);
                let ibn = spec.ibn && stage < 3;
                blocks.push(Block::new(&name, spec, (channels, inner), stride, ibn, specs));
                channels = inner * spec.expansion();
            }
        }
        ResNet { stem, pool1, blocks, features: channels }
    }

    /// Number of values of a feature: 2,048 for ResNet-50.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Computes pool5 features `[N, D]` from pixels `[N, H, W, 3]`.
    ///
    /// # Errors
    /// If the input is too small for the network's strides.
    pub fn forward(&self, tape: &mut Tape<'_>, pixels: Var, statistics: Statistics) -> Result<Var> {
        let map = self.feature_map(tape, pixels, statistics)?;
        global_avg_pool(tape, map)
    }

    /// All convolutions with their normalisations.
    pub(super) fn layers(&self) -> impl Iterator<Item = &ConvBn> {
        let of_blocks = self.blocks.iter().flat_map(|block| block.convs.iter().chain(&block.downsample));
        std::iter::once(&self.stem).chain(of_blocks)
    }

    /// Computes the last feature map `[N, H / 32, W / 32, D]` (H / 16 with a last stride of 1), whose mean is pool5,
    /// from pixels `[N, H, W, 3]`.
    ///
    /// # Errors
    /// As [`ResNet::forward`].
    pub fn feature_map(&self, tape: &mut Tape<'_>, pixels: Var, statistics: Statistics) -> Result<Var> {
        self.feature_map_by(tape, pixels, &statistics)
    }

    // ANCHOR: feature_map
    /// Computes the feature map of [`ResNet::feature_map`] by some way to compute its layers.
    pub(super) fn feature_map_by(
        &self,
        tape: &mut Tape<'_>,
        pixels: Var,
        layers: &impl Layers,
    ) -> Result<Var> {
        let mut x = layers.forward(&self.stem, tape, pixels, Epilogue { residual: None, relu: true })?;
        x = maxpool(tape, x, self.pool1)?;
        for block in &self.blocks {
            x = block.forward(tape, x, layers)?;
        }
        Ok(x)
    }
    // ANCHOR_END: feature_map
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Arch, Config, Model};

    fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let specs = Spec::of(model).param_specs();
        specs.shapes().map(|(name, shape)| (name.to_string(), shape.dims().to_vec())).collect()
    }

    fn shape(model: &Model, name: &str) -> Option<Vec<usize>> {
        shapes(model).into_iter().find(|(known, _)| known == name).map(|(_, shape)| shape)
    }

    #[test]
    fn the_stem_has_channels_of_its_own() {
        let model = Model { arch: Arch::Resnet50, width: Some(4), stem: Some(6), ..Model::default() };
        assert_eq!(shape(&model, "conv1.weight").unwrap(), [6, 7, 7, 3]);
        assert_eq!(shape(&model, "bn1.running_var").unwrap(), [6]);
        assert_eq!(shape(&model, "layer1.0.conv1.weight").unwrap(), [4, 1, 1, 6]);
        assert_eq!(shape(&model, "layer1.0.downsample.0.weight").unwrap(), [16, 1, 1, 6]);
        assert_eq!(shape(&model, "layer1.1.conv1.weight").unwrap(), [4, 1, 1, 16]);
    }

    #[test]
    fn the_first_block_projects_a_stem_of_another_width() {
        let basic = |stem| Model { arch: Arch::Resnet18, width: Some(4), stem, ..Model::default() };
        let projection = "layer1.0.downsample.0.weight";
        assert_eq!(shape(&basic(None), projection), None);
        assert_eq!(shape(&basic(Some(4)), projection), None);
        assert_eq!(shape(&basic(Some(6)), projection).unwrap(), [4, 1, 1, 6]);
        let wide = Model { arch: Arch::Resnet50, width: Some(4), stem: Some(16), ..Model::default() };
        assert_eq!(shape(&wide, projection), None);
    }

    #[test]
    fn the_default_stem_is_as_wide_as_the_first_stage() {
        let config = Config::default();
        assert!(!config.network_toml().contains("stem"), "{}", config.network_toml());
        let same = Model { stem: Some(64), ..Model::default() };
        assert_eq!(shapes(&config.model), shapes(&same));
    }

    /// The names and shapes of IBN-Net's `resnet50_ibn_a`.
    #[test]
    fn half_of_bn1_is_an_instance_normalisation_in_the_first_three_stages() {
        let model = Model { arch: Arch::Resnet50, ibn: true, ..Model::default() };
        for (stage, half) in [(1, 32), (2, 64), (3, 128)] {
            for name in ["IN.weight", "IN.bias", "BN.weight", "BN.bias", "BN.running_mean", "BN.running_var"]
            {
                let name = format!("layer{stage}.2.bn1.{name}");
                assert_eq!(shape(&model, &name).unwrap(), [half], "{name}");
            }
            assert_eq!(shape(&model, &format!("layer{stage}.2.bn1.weight")), None);
        }
        for name in
            ["bn1.weight", "layer1.0.bn2.weight", "layer1.0.downsample.1.weight", "layer4.0.bn1.weight"]
        {
            assert!(shape(&model, name).is_some(), "{name}");
        }
        let odd = Model { width: Some(5), ..model };
        assert_eq!(shape(&odd, "layer1.0.bn1.IN.weight").unwrap(), [2]);
        assert_eq!(shape(&odd, "layer1.0.bn1.BN.weight").unwrap(), [3]);
    }
}
