//! The table of settings: sections of settings, each line with meaning, unit, default and source.

use super::wrong_type::{Setting, Wanted};
pub use crate::data::{BadImages, Channels, EraseFill, PadMode, PkOrder};
pub use crate::ops::sgd::Convention;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One line of the table of settings.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `section.key`.
    pub key: String,
    /// Its meaning.
    pub text: String,
    /// Its unit, or the choices.
    pub unit: &'static str,
    /// The source of the default.
    pub source: &'static str,
    /// The type of its values, for messages.
    pub(super) wanted: Wanted,
}

/// Factors by patterns of parameter names ([`super::pattern`]).
pub type Factors = std::collections::BTreeMap<String, f32>;

/// Declares one section: the struct, its defaults and its lines of the table, from one list.
macro_rules! section {
    ($(#[$meta:meta])* $name:ident, $section:literal {
        $($(#[doc = $text:literal])+ $key:ident: $type:ty = $default:expr, $unit:literal, $source:literal;)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $text])+ #[doc = concat!("\n\nUnit or choices: ", $unit, ". Source: ", $source, ".")] pub $key: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default,)* }
            }
        }

        impl $name {
            pub(super) fn entries() -> Vec<Entry> {
                vec![$(Entry {
                    key: concat!($section, ".", stringify!($key)).to_string(),
                    text: [$($text),+].map(str::trim).join(" "),
                    unit: $unit,
                    source: $source,
                    wanted: <$type as Setting>::WANTED,
                },)*]
            }
        }
    };
}

/// Declares an enum whose values are written in lower case.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident),* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vmeta])* $variant),* }
    };
}

mod embedding;
mod losses;

pub use embedding::EmbeddingInit;
pub use losses::*;

section! {
    /// The network.
    Model, "model" {
        /// The residual network; `slim` trains in minutes on a CPU.
        arch: Arch = Arch::Resnet50, "resnet18 | resnet34 | resnet50 | resnet101 | resnet152 | slim", "section 3.2";
        /// Channels of the first stage; absent: those of the preset (64, slim 16).
        width: Option<usize> = None, "channels", "He et al. 2016";
        /// Channels of conv1; absent: those of the first stage.
        stem: Option<usize> = None, "channels", "He et al. 2016";
        /// Blocks in each of the four stages; absent: the preset's.
        depths: Option<[usize; 4]> = None, "blocks", "He et al. 2016";
        /// Position of strides, first pooling and first bias: torchvision's v1.5 or Caffe's v1.
        wiring: Wiring = Wiring::Torchvision, "torchvision | caffe", "ours (the paper used Caffe)";
        /// Instance normalisation of the first half of the channels of bn1 in each block of the first three stages
        /// (IBN-a).
        ibn: bool = false, "true | false", "He et al. 2016 (false); Pan et al. 2018";
        /// Stride of the last stage; 1 keeps a finer map in front of pool5.
        last_stride: usize = 2, "1 | 2", "He et al. 2016";
        /// Pooling of the last feature map to pool5: the mean, or the generalised mean with a learnt exponent that
        /// starts at 3.
        pooling: Pooling = Pooling::Average, "average | gem", "He et al. 2016; Radenovic et al. 2018";
        /// Widths of linear layers behind pool5, such as `[1024, 128]`; none without. All but the last have batch
        /// normalisation and a ReLU. Classifier, neck and evaluation take the output of the last one.
        embedding: Vec<usize> = Vec::new(), "values", "figure 2 (none); Hermans et al. 2017";
        /// Batch normalisation behind the last layer of the embedding.
        embedding_batchnorm: bool = false, "true | false", "ours (true: layumi's baseline, torchreid's fc512)";
        /// A ReLU at the end of the embedding.
        embedding_relu: bool = false, "true | false", "ours (true: torchreid's fc512)";
        /// A bias in the last layer of the embedding. A layer in front of batch normalisation has none, as the mean
        /// would cancel it.
        embedding_bias: bool = true, "true | false", "PyTorch (false: Sun et al. 2017)";
        /// Initial weights of the last layer of the embedding: He's for its outputs, orthogonal rows or columns, or the
        /// standard deviation of a normal distribution. The layers before it take He's.
        embedding_init: EmbeddingInit = EmbeddingInit::He, "1 | he | orthogonal", "He et al. 2015";
        /// Batch normalisation between pool5 and the classifier (BNNeck), or none. Evaluation takes the feature behind it.
        neck: NeckKind = NeckKind::None, "none | batchnorm", "figure 2 (none); Luo et al. 2019";
        /// Dropout ratio in front of the classifier.
        dropout: f32 = 0.9, "probability", "section 3.2";
    }
}

section! {
    /// Size and normalisation of the images.
    Input, "input" {
        /// Height to which images are resized.
        height: usize = 256, "pixels", "section 3.2";
        /// Width to which images are resized.
        width: usize = 128, "pixels", "section 3.2";
        /// Order of the channels.
        channels: Channels = Channels::Rgb, "rgb | bgr", "torchvision";
        /// Multiplies a pixel of 0 to 255 before mean and std.
        scale: f32 = 1.0 / 255.0, "1", "torchvision";
        /// Subtracted from each channel, in the order of `channels`, after scaling.
        mean: [f32; 3] = [0.485, 0.456, 0.406], "scaled pixel", "torchvision (ImageNet)";
        /// Divides each channel after the mean.
        std: [f32; 3] = [0.229, 0.224, 0.225], "scaled pixel", "torchvision (ImageNet)";
    }
}

section! {
    /// The optimiser and its schedule.
    Solver, "solver" {
        /// Training steps.
        iterations: u64 = 50_000, "iterations", "section 3.2";
        /// The optimiser. Those of the Adam family ignore momentum and its convention; their usual learning rate is about
        /// 3e-4.
        optimizer: Optimizer = Optimizer::Sgd, "sgd | adam | amsgrad | adamw", "section 3.2";
        /// Images in a step.
        batch: usize = 16, "images", "section 3.2";
        /// Learning rate at the start.
        lr: f32 = 0.01, "1", "section 3.2";
        /// The course of the learning rate after its warm-up: by `lr_milestones` and `lr_gamma`, or constant for `lr_flat`
        /// iterations, and then half a cosine or an exponential towards `lr_end` at the end.
        schedule: Schedule = Schedule::Steps, "steps | cosine | exponential", "section 3.2";
        /// Iterations at the start of a cosine or exponential schedule in which the learning rate is constant.
        lr_flat: u64 = 0, "iterations", "ours";
        /// Learning rate at the end of a cosine or exponential schedule; absent: 0, or `lr` / 1000 of the exponential.
        lr_end: Option<f32> = None, "1", "PyTorch, Hermans et al. 2017";
        /// The iterations at which the learning rate is multiplied by `lr_gamma`.
        lr_milestones: Vec<u64> = vec![20_000, 40_000], "iterations", "section 3.2 (every 20K)";
        /// The factor of the learning rate at each milestone.
        lr_gamma: f32 = 0.1, "1", "section 3.2";
        /// Iterations over which the learning rate grows linearly to its full value.
        lr_warmup: u64 = 0, "iterations", "ours";
        /// Factor of the learning rate at the start of the warm-up; absent: the ramp of n takes 1/n, 2/n, ..., 1.
        lr_warmup_start: Option<f32> = None, "1", "ours";
        /// Multiplies the learning rate of the classifier, which starts from random values, and of an embedding and a
        /// neck.
        head_rate: f32 = 1.0, "1", "ours";
        /// Factors on the learning rate of parameters, by patterns of their names; those of all matching patterns multiply.
        lr_factors: Factors = Factors::new(), "pattern = factor", "ours";
        /// Factors on the weight decay of parameters, by patterns of their names; those of all matching patterns multiply.
        decay_factors: Factors = Factors::new(), "pattern = factor", "ours";
        /// Patterns of the names of frozen parameters, which are not updated; of those that match the last counts, and one
        /// that begins with ! takes a parameter out again. Frozen batch normalisation keeps its running statistics.
        freeze: Vec<String> = vec![], "patterns", "ours";
        /// Iterations at the start in which these parameters are frozen; 0: all.
        freeze_iterations: u64 = 0, "iterations", "ours";
        /// Learning rates of rounds after the first `svd_start` iterations, one each; none: no rounds. In a round the last
        /// layer of the embedding is decomposed, so that its weight vectors are orthogonal, then restraint and relaxation
        /// follow.
        svd_lr: Vec<f32> = vec![], "rates", "ours (Sun et al. 2017: three of 1e-3, four of 1e-4)";
        /// Iterations before the first round, at the rates of the schedule.
        svd_start: u64 = 25_000, "iterations", "Sun et al. 2017";
        /// Iterations of a restraint, in which this layer is frozen.
        svd_restraint: u64 = 8_000, "iterations", "Sun et al. 2017";
        /// Iterations of a relaxation, in which it is trained; the last one lasts until the end.
        svd_relaxation: u64 = 8_000, "iterations", "Sun et al. 2017";
        /// Patterns of the names of parameters that are frozen in relaxations, as those of `freeze`.
        svd_freeze: Vec<String> = vec![], "patterns", "ours (Sun et al. 2017: up to layer1, and batch normalisation)";
        /// The iterations of each restraint and relaxation at which its rate is multiplied by `lr_gamma`.
        svd_lr_milestones: Vec<u64> = vec![], "iterations", "ours (Sun et al. 2017: 5000)";
        /// Momentum.
        momentum: f32 = 0.9, "1", "ours";
        /// Share of the old mean of gradients in the new one; for the Adam family.
        beta1: f32 = 0.9, "1", "PyTorch";
        /// Share of the old mean of squared gradients in the new one; for the Adam family.
        beta2: f32 = 0.999, "1", "PyTorch";
        /// Added to the root of the mean squared gradient; for the Adam family.
        epsilon: f32 = 1e-8, "1", "PyTorch";
        /// Weight decay: a part of the gradient (L2), except for adamw, whose weights shrink apart from it.
        weight_decay: f32 = 5e-4, "1", "ours";
        /// How momentum and learning rate combine; they differ when the learning rate drops.
        convention: Convention = Convention::PyTorch, "pytorch | caffe", "ours";
        /// Nesterov momentum as PyTorch computes it; not with Caffe's convention.
        nesterov: bool = false, "true | false", "PyTorch";
        /// Decay of the moving average of the weights, which is then evaluated and is the result; 0: no average.
        ema: f32 = 0.0, "1", "ours";
        /// Batch normalisation by the statistics of the batch, or by the running ones, which then stay constant. A neck
        /// always takes those of the batch.
        batchnorm: Normalization = Normalization::Batch, "batch | frozen", "ours";
        /// Share of the batch's statistics that enters the running ones at each step.
        batchnorm_momentum: f32 = 0.1, "1", "PyTorch";
        /// With several ranks: the statistics of the batch of all ranks, which do not depend on their number, or those
        /// of each rank's share, which need no exchange; their running averages are then the means over the ranks.
        batchnorm_scope: BatchnormScope = BatchnormScope::All, "all | rank", "ours";
    }
}

section! {
    /// Images and batches.
    Data, "data" {
        /// Mirror an image with probability one half.
        flip: bool = true, "true | false", "ours";
        /// Border added before cropping (see `crop`).
        pad: usize = 10, "pixels", "ours";
        /// Add the border and crop back to the input size at a random place.
        crop: bool = false, "true | false", "ours";
        /// Values of the border.
        pad_mode: PadMode = PadMode::Zero, "zero | edge", "ours";
        /// Height and width of training images, of which a random part of the input's size is cropped; absent: the
        /// input's size. Evaluation always resizes to the input's size.
        resize: Option<[usize; 2]> = None, "pixels", "ours (Hermans et al. 2017: 288 x 144 for 256 x 128)";
        /// Largest random change of the brightness's factor; 0 is off.
        brightness: f32 = 0.0, "1", "ours";
        /// Largest random change of the contrast's factor; 0 is off.
        contrast: f32 = 0.0, "1", "ours";
        /// Largest random change of the saturation's factor; 0 is off.
        saturation: f32 = 0.0, "1", "ours";
        /// Probability that a random rectangle of an image is erased.
        erase: f32 = 0.0, "probability", "ours (Zhong et al. 2020: 0.5)";
        /// Smallest and largest area of the rectangle.
        erase_area: [f32; 2] = [0.02, 0.4], "share of the image", "Zhong et al. 2020";
        /// Smallest ratio of the rectangle's height to its width; the largest is its reciprocal.
        erase_aspect: f32 = 0.3, "1", "Zhong et al. 2020";
        /// Content of the rectangle: the mean pixel, which is 0 after normalisation, or noise.
        erase_fill: EraseFill = EraseFill::Mean, "mean | noise", "Luo et al. 2019";
        /// Each batch drawn independently, or each image once an epoch, or `batch / pk_images` identities with
        /// `pk_images` images each, or `batch / 2` images with a partner each.
        sampler: Sampler = Sampler::Random, "random | epochs | pk | pairs", "algorithm 1";
        /// Images of each identity in a batch; for the pk sampler.
        pk_images: usize = 4, "images", "Hermans et al. 2017";
        /// An epoch of the pk sampler has each identity once, or each as often as it has `pk_images` images.
        pk_order: PkOrder = PkOrder::Identities, "identities | images", "ours (torchreid: images)";
        /// Share of pairs of one identity in the first epoch; for the pairs sampler.
        pairs_positive: f32 = 0.5, "1", "Zheng et al. 2016";
        /// Factor of this share from an epoch to the next.
        pairs_decay: f32 = 1.0, "1", "ours (Zheng et al. 2016: 1 / 1.01)";
        /// The smallest share of pairs of one identity.
        pairs_least: f32 = 0.2, "1", "Zheng et al. 2016";
        /// Folder of images without identities, such as generated ones, that enter the batches of the samplers random
        /// and epochs; their target in the softmax loss is the uniform distribution (LSRO). Absent: none.
        unlabelled: Option<PathBuf> = None, "folder", "ours (Zheng et al. 2017)";
        /// Unreadable training images: refuse to start, or leave them out.
        bad_images: BadImages = BadImages::Refuse, "refuse | skip", "ours";
        /// Memory for decoded images; the rest goes to a memory-mapped temporary file.
        cache_mib: usize = 2048, "MiB", "ours";
        /// CSV file with the attributes of the training persons, for `loss.attributes`, relative to the working directory:
        /// the column `identity` and one for each attribute.
        attributes: Option<String> = None, "file", "Lin et al. 2017";
        /// Threads that prefetch batches.
        workers: usize = 1, "threads", "ours";
    }
}

section! {
    /// Seed, checkpoints and log of the run.
    Run, "run" {
        /// Seed of all random numbers; two runs with the same seed agree bit for bit.
        seed: u64 = 0, "1", "ours";
        /// Iterations between checkpoints.
        checkpoint_every: u64 = 1000, "iterations", "ours";
        /// Number of checkpoints that stay; older ones are deleted.
        checkpoints_kept: usize = 3, "files", "ours";
        /// Iterations between evaluations of the network; 0: none. Each saves a checkpoint first.
        eval_every: u64 = 0, "iterations", "ours";
        /// The images of these evaluations: held-out identities of the training part, or the test part, which makes
        /// figures optimistic if a result is chosen by it.
        eval_on: EvalOn = EvalOn::HeldOut, "held-out | test", "ours";
        /// Training identities that are held out for these evaluations, and not trained on: a share below 1, or a number.
        eval_identities: f32 = 0.1, "share or identities", "ours";
        /// Evaluations without a better mAP after which the run ends; 0: it does all iterations.
        patience: u64 = 0, "evaluations", "ours";
        /// Iterations between downloads of the losses (each one waits for the device).
        log_every: u64 = 20, "iterations", "ours";
    }
}

choice! {
    /// Presets of the network.
    Arch {
        /// Basic blocks 2, 2, 2, 2, width 64.
        Resnet18,
        /// Basic blocks 3, 4, 6, 3, width 64.
        Resnet34,
        /// Bottleneck blocks 3, 4, 6, 3, width 64.
        Resnet50,
        /// Bottleneck blocks 3, 4, 23, 3, width 64.
        Resnet101,
        /// Bottleneck blocks 3, 8, 36, 3, width 64.
        Resnet152,
        /// Bottleneck blocks 2, 2, 2, 2, width 16.
        Slim
    }
}
choice! {
    /// The variant of ResNet.
    Wiring {
        /// torchvision's v1.5: stride on the 3x3, pool1 padded.
        Torchvision,
        /// He's release for Caffe: stride on the 1x1, pool1 with ceil, conv1 with a bias.
        Caffe
    }
}
choice! {
    /// The pooling of the last feature map.
    Pooling {
        /// The mean over all positions.
        Average,
        /// The generalised mean, GeM.
        Gem
    }
}
choice! {
    /// The layer between pool5, or its embedding, and the classifier.
    NeckKind {
        /// None: the classifier takes pool5, the paper's network.
        None,
        /// Batch normalisation without a shift.
        Batchnorm
    }
}
choice! {
    /// Statistics of batch normalisation in training.
    Normalization {
        /// The statistics of the batch.
        Batch,
        /// The running statistics, constant.
        Frozen
    }
}
choice! {
    /// The images whose statistics batch normalisation takes in training.
    BatchnormScope {
        /// The batch of all ranks.
        All,
        /// The share of each rank.
        Rank
    }
}
choice! {
    /// The optimiser of the weights.
    Optimizer {
        /// Stochastic gradient descent with momentum.
        Sgd,
        /// Adam.
        Adam,
        /// Adam with the largest mean square so far.
        Amsgrad,
        /// Adam with decoupled weight decay.
        Adamw
    }
}
choice! {
    /// The course of the learning rate.
    Schedule {
        /// Constant between milestones.
        Steps,
        /// Half a cosine.
        Cosine,
        /// A constant factor in each iteration.
        Exponential
    }
}
choice! {
    /// The images of evaluations during training.
    EvalOn {
        /// Held-out identities of the training part.
        #[serde(rename = "held-out")]
        HeldOut,
        /// The test part of the data set.
        Test
    }
}
choice! {
    /// Selection of the images of a batch.
    Sampler {
        /// Each batch independently from all images, without repetition in a batch.
        Random,
        /// Each image once an epoch.
        Epochs,
        /// Several images of each of several identities.
        Pk,
        /// Images and their partners.
        Pairs
    }
}
