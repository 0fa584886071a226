//! Every hyper-parameter once: its meaning, unit, default and where the default comes from.
//!
//! The defaults are the paper's recipe (section 3.2); what the paper does not state is marked "ours". A run
//! reads a TOML file and `--set section.key=value` on top of it; `bcreid config` prints this table.

use crate::data::ImageInput;
pub use crate::data::{BadImages, Channels, PadMode};
pub use crate::ops::batch_contrastive::Gradient;
pub use crate::ops::sgd::Convention;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// One line of the table of settings.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `section.key`.
    pub key: String,
    /// What it means.
    pub text: String,
    /// Its unit, or the choices.
    pub unit: &'static str,
    /// Where the default comes from.
    pub source: &'static str,
}

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
            fn entries() -> Vec<Entry> {
                vec![$(Entry {
                    key: concat!($section, ".", stringify!($key)).to_string(),
                    text: [$($text),+].map(str::trim).join(" "),
                    unit: $unit,
                    source: $source,
                },)*]
            }
        }
    };
}

section! {
    /// The network.
    Model, "model" {
        /// Which residual network; `slim` is one that trains in minutes on a CPU.
        arch: Arch = Arch::Resnet50, "resnet50 | resnet18 | slim", "section 3.2";
        /// Channels of the first stage; absent: the preset's (64, slim 16).
        width: Option<usize> = None, "channels", "He et al. 2016";
        /// Blocks in each of the four stages; absent: the preset's.
        depths: Option<[usize; 4]> = None, "blocks", "He et al. 2016";
        /// Where strides, the first pooling and the first bias are: torchvision's v1.5 or Caffe's v1.
        wiring: Wiring = Wiring::Torchvision, "torchvision | caffe", "ours (the paper used Caffe)";
        /// Stride of the last stage; 1 keeps a finer map in front of pool5.
        last_stride: usize = 2, "1 | 2", "He et al. 2016";
        /// Dropout ratio between pool5 and the classifier.
        dropout: f32 = 0.9, "probability", "section 3.2";
    }
}

section! {
    /// What the network sees.
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
    /// The batch-contrastive loss.
    Loss, "loss" {
        /// Weight of the batch-contrastive loss; 0 is the paper's baseline.
        lambda: f32 = 1.0, "1", "section 3.2, equation (9)";
        /// Iterations over which lambda grows from 0; use it where features collapse.
        lambda_warmup: u64 = 0, "iterations", "ours (0 is the paper's)";
        /// Margin of the hinge, a squared distance of unit vectors.
        tau: f32 = 1.0, "squared distance, 0 to 2", "ours (the paper gives none)";
        /// Equation (8), which holds partner samples constant, or the true derivative of (3).
        gradient: Gradient = Gradient::Paper, "paper | exact", "equation (8)";
        /// Learning rate of the class centers, or "tied" to that of the weights (algorithm 1).
        center_rate: CenterRate = CenterRate::Fixed(0.5), "1 | tied", "Wen et al. 2016";
    }
}

section! {
    /// Stochastic gradient descent.
    Solver, "solver" {
        /// Training steps.
        iterations: u64 = 50_000, "iterations", "section 3.2";
        /// Images in a step.
        batch: usize = 16, "images", "section 3.2";
        /// Learning rate at the start.
        rate: f32 = 0.01, "1", "section 3.2";
        /// The iterations at which the rate is multiplied by `rate_factor`.
        rate_drops: Vec<u64> = vec![20_000, 40_000], "iterations", "section 3.2 (every 20K)";
        /// What a drop multiplies the rate by.
        rate_factor: f32 = 0.1, "1", "section 3.2";
        /// Iterations over which the rate grows linearly to its full value.
        rate_warmup: u64 = 0, "iterations", "ours";
        /// Multiplies the rate of the classifier, which starts from nothing.
        head_rate: f32 = 1.0, "1", "ours";
        /// Momentum.
        momentum: f32 = 0.9, "1", "ours";
        /// Weight decay (L2).
        weight_decay: f32 = 5e-4, "1", "ours";
        /// How momentum and rate combine; they differ when the rate drops.
        convention: Convention = Convention::PyTorch, "pytorch | caffe", "ours";
        /// Batch normalisation by the batch's statistics, or by the running ones, kept as they are.
        batchnorm: Normalization = Normalization::Batch, "batch | frozen", "ours";
        /// Share of the batch's statistics that enters the running ones at each step.
        batchnorm_momentum: f32 = 0.1, "1", "PyTorch";
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
        /// What the border is filled with.
        pad_mode: PadMode = PadMode::Zero, "zero | edge", "ours";
        /// Images at random, or `batch / pk_images` identities with `pk_images` images each.
        sampler: Sampler = Sampler::Random, "random | pk", "section 3.2";
        /// Images of each identity in a batch of the pk sampler.
        pk_images: usize = 4, "images", "Hermans et al. 2017";
        /// Training images that cannot be read: refuse to start, or leave them out.
        bad_images: BadImages = BadImages::Refuse, "refuse | skip", "ours";
        /// Decoded images beyond this go to a memory-mapped temporary file.
        cache_mib: usize = 2048, "MiB", "ours";
        /// Threads that prepare batches ahead of the step.
        workers: usize = 1, "threads", "ours";
    }
}

section! {
    /// The run itself.
    Run, "run" {
        /// Seed of every random number; two runs with one seed agree bit for bit.
        seed: u64 = 0, "1", "ours";
        /// Iterations between checkpoints.
        checkpoint_every: u64 = 1000, "iterations", "ours";
        /// Checkpoints kept; older ones are deleted.
        checkpoints_kept: usize = 3, "files", "ours";
        /// Iterations between read-backs of the losses (each one waits for the device).
        log_every: u64 = 20, "iterations", "ours";
    }
}

/// All settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: Model,
    /// What the network sees.
    pub input: Input,
    /// The batch-contrastive loss.
    pub loss: Loss,
    /// Stochastic gradient descent.
    pub solver: Solver,
    /// Images and batches.
    pub data: Data,
    /// The run itself.
    pub run: Run,
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

choice! {
    /// Presets of the network.
    Arch {
        /// Bottleneck blocks 3, 4, 6, 3, width 64.
        Resnet50,
        /// Basic blocks 2, 2, 2, 2, width 64.
        Resnet18,
        /// Bottleneck blocks 2, 2, 2, 2, width 16.
        Slim
    }
}
choice! {
    /// Whose ResNet.
    Wiring {
        /// torchvision's v1.5: stride on the 3x3, pool1 padded.
        Torchvision,
        /// He's release for Caffe: stride on the 1x1, pool1 with ceil, conv1 with a bias.
        Caffe
    }
}
choice! {
    /// Which statistics batch normalisation uses in training.
    Normalization {
        /// The batch's.
        Batch,
        /// The running ones, kept as they are.
        Frozen
    }
}
choice! {
    /// How a batch is drawn.
    Sampler {
        /// Without replacement from all images.
        Random,
        /// Some images of some identities.
        Pk
    }
}

/// Learning rate of the class centers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum CenterRate {
    /// That of the weights (algorithm 1 of the paper).
    Tied,
    /// A constant.
    Fixed(f32),
}

impl TryFrom<toml::Value> for CenterRate {
    type Error = String;

    fn try_from(value: toml::Value) -> std::result::Result<Self, String> {
        match value {
            toml::Value::String(s) if s == "tied" => Ok(CenterRate::Tied),
            toml::Value::Float(rate) => Ok(CenterRate::Fixed(rate as f32)),
            toml::Value::Integer(rate) => Ok(CenterRate::Fixed(rate as f32)),
            other => Err(format!("{other} is neither a number nor \"tied\"")),
        }
    }
}

impl From<CenterRate> for toml::Value {
    fn from(rate: CenterRate) -> Self {
        match rate {
            CenterRate::Tied => toml::Value::String("tied".into()),
            // Through the shortest decimal form, so that 0.1 is written as 0.1.
            CenterRate::Fixed(rate) => {
                toml::Value::Float(rate.to_string().parse().unwrap_or(f64::from(rate)))
            }
        }
    }
}

impl Config {
    /// The defaults, then the TOML file, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// An unreadable file; a key that does not exist (the nearest one is named); a value of the wrong type
    /// or out of range.
    pub fn resolve(file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let text = match file {
            Some(path) => std::fs::read_to_string(path).map_err(Error::io(path))?,
            None => String::new(),
        };
        Self::resolve_text(&text, settings).map_err(|e| match (e, file) {
            (Error::Config(what), Some(path)) => Error::Config(format!("{what} ({})", path.display())),
            (other, _) => other,
        })
    }

    /// The defaults, then a TOML text, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_text(text: &str, settings: &[String]) -> Result<Self> {
        let mut table: toml::Table = toml::from_str(text)
            .map_err(|e| Error::Config(format!("not TOML: {}", one_line(e.message()))))?;
        for setting in settings {
            let (key, value) = setting.split_once('=').ok_or_else(|| {
                Error::Config(format!("--set {setting}: write it as section.key=value, e.g. loss.lambda=0"))
            })?;
            let (section, key) = key.trim().split_once('.').ok_or_else(|| unknown(key.trim()))?;
            let slot = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let Some(slot) = slot.as_table_mut() else { return Err(unknown(section)) };
            slot.insert(key.to_string(), parse_value(value.trim()));
        }
        let config = Self::from_table(&table)?;
        config.check()?;
        Ok(config)
    }

    /// The settings a run folder or checkpoint holds.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::resolve_text(text, &[])
    }

    /// The input convention of the network.
    pub fn image_input(&self) -> ImageInput {
        let Input { height, width, channels, scale, mean, std } = self.input;
        ImageInput { height, width, channels, scale, mean, std }
    }

    /// Every setting as TOML.
    ///
    /// # Panics
    /// Never: every setting has a TOML form.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("every setting has a TOML form")
    }

    /// Every setting as TOML, each under a comment with its meaning, unit and the source of its default.
    /// Settings that are absent stand commented out.
    pub fn to_commented_toml(&self) -> String {
        let plain = toml::Table::try_from(self).expect("every setting has a TOML form");
        let mut text = String::new();
        let mut section = "";
        let entries = Self::entries();
        for entry in &entries {
            let (own, name) = entry.key.split_once('.').expect("every key has a section");
            if own != section {
                text += &format!("{}[{own}]\n", if section.is_empty() { "" } else { "\n" });
                section = own;
            }
            text += &format!("# {} [{}; {}]\n", entry.text, entry.unit, entry.source);
            text += &match plain.get(own).and_then(|table| table.get(name)) {
                Some(value) => format!("{name} = {value}\n"),
                None => format!("# {name} =\n"),
            };
        }
        text
    }

    /// The table of all settings, in the order of the file.
    pub fn entries() -> Vec<Entry> {
        [
            Model::entries(),
            Input::entries(),
            Loss::entries(),
            Solver::entries(),
            Data::entries(),
            Run::entries(),
        ]
        .concat()
    }

    fn from_table(table: &toml::Table) -> Result<Self> {
        let keys = Self::entries();
        for (section, content) in table {
            let Some(content) = content.as_table() else { return Err(unknown(section)) };
            for (key, value) in content {
                let key = format!("{section}.{key}");
                if !keys.iter().any(|k| k.key == key) {
                    return Err(unknown(&key));
                }
                // Alone, so that an error of the type can only be this key's.
                let (section, name) = key.split_once('.').expect("joined above");
                let mut alone = toml::Table::new();
                alone.insert(section.into(), toml::Table::from_iter([(name.into(), value.clone())]).into());
                Config::deserialize(toml::Value::Table(alone)).map_err(|e| {
                    let unit = keys.iter().find(|k| k.key == key).map_or("", |k| k.unit);
                    Error::Config(format!("{key} = {value}: {} (wanted: {unit})", one_line(e.message())))
                })?;
            }
        }
        Config::deserialize(toml::Value::Table(table.clone()))
            .map_err(|e| Error::Config(one_line(e.message())))
    }

    /// Checks every range, naming the key.
    fn check(&self) -> Result<()> {
        let (m, i, l, s, d, r) = (&self.model, &self.input, &self.loss, &self.solver, &self.data, &self.run);
        let width = m.width.unwrap_or(64);
        let depths = m.depths.unwrap_or([1; 4]);
        let center_rate = if let CenterRate::Fixed(rate) = l.center_rate { rate } else { 0.0 };
        let rules = [
            ((1..=1024).contains(&width), "model.width must be 1 to 1024"),
            (depths.iter().all(|d| (1..=64).contains(d)), "model.depths must be four numbers of 1 to 64"),
            ((1..=2).contains(&m.last_stride), "model.last_stride must be 1 or 2"),
            ((0.0..1.0).contains(&m.dropout), "model.dropout must be at least 0 and below 1"),
            (
                (32..=2048).contains(&i.height) && (32..=2048).contains(&i.width),
                "input.height and input.width must be 32 to 2048 pixels",
            ),
            (i.scale.is_finite() && i.scale > 0.0, "input.scale must be above 0"),
            (i.std.iter().all(|v| v.is_finite() && *v > 0.0), "input.std must be above 0"),
            (i.mean.iter().all(|v| v.is_finite()), "input.mean must be finite"),
            (l.lambda.is_finite() && l.lambda >= 0.0, "loss.lambda must be at least 0"),
            ((0.0..=4.0).contains(&l.tau), "loss.tau is a squared distance of unit vectors: 0 to 4"),
            ((0.0..=1.0).contains(&center_rate), "loss.center_rate must be 0 to 1, or \"tied\""),
            (s.iterations >= 1 && s.iterations <= i32::MAX as u64, "solver.iterations must be 1 to 2^31 - 1"),
            ((2..=1024).contains(&s.batch), "solver.batch must be 2 to 1024 images"),
            (s.rate.is_finite() && s.rate > 0.0, "solver.rate must be above 0"),
            (s.rate_drops.is_sorted(), "solver.rate_drops must grow"),
            (s.rate_factor > 0.0 && s.rate_factor <= 1.0, "solver.rate_factor must be above 0, at most 1"),
            (s.head_rate.is_finite() && s.head_rate > 0.0, "solver.head_rate must be above 0"),
            ((0.0..1.0).contains(&s.momentum), "solver.momentum must be at least 0 and below 1"),
            (s.weight_decay.is_finite() && s.weight_decay >= 0.0, "solver.weight_decay must be at least 0"),
            (
                s.batchnorm_momentum > 0.0 && s.batchnorm_momentum <= 1.0,
                "solver.batchnorm_momentum must be above 0, at most 1",
            ),
            (d.pad <= 256, "data.pad must be at most 256 pixels"),
            (!d.crop || d.pad > 0, "data.crop needs data.pad above 0"),
            (d.pk_images >= 1, "data.pk_images must be at least 1"),
            (
                d.sampler != Sampler::Pk || s.batch % d.pk_images == 0,
                "solver.batch must be a multiple of data.pk_images with the pk sampler",
            ),
            ((1..=256).contains(&d.workers), "data.workers must be 1 to 256 threads"),
            (r.checkpoint_every >= 1, "run.checkpoint_every must be at least 1"),
            (r.checkpoints_kept >= 1, "run.checkpoints_kept must be at least 1"),
            ((1..=10_000).contains(&r.log_every), "run.log_every must be 1 to 10000"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Error::Config((*rule).to_string())),
            None => Ok(()),
        }
    }
}

/// A value given on the command line: TOML if it reads as TOML, else a string without quotes.
fn parse_value(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_string()))
}

fn unknown(key: &str) -> Error {
    let keys = Config::entries();
    let nearest = keys
        .iter()
        .map(|k| k.key.as_str())
        // A bare key (`lambda`) is meant as the one in its section.
        .max_by(|a, b| similarity(key, a).total_cmp(&similarity(key, b)));
    let nearest = nearest.unwrap_or_default();
    Error::Config(format!("there is no key {key}; did you mean {nearest}? (bcreid config lists all keys)"))
}

fn similarity(wish: &str, key: &str) -> f64 {
    let name = key.split_once('.').map_or(key, |(_, name)| name);
    strsim::jaro_winkler(wish, key)
        .max(strsim::jaro_winkler(wish.rsplit('.').next().unwrap_or(wish), name) * 0.99)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> Result<Config> {
        Config::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_is_the_papers_recipe() {
        let c = Config::default();
        assert_eq!((c.solver.iterations, c.solver.batch, c.solver.rate), (50_000, 16, 0.01));
        assert_eq!(c.solver.rate_drops, [20_000, 40_000]);
        assert_eq!((c.loss.lambda, c.model.dropout), (1.0, 0.9));
        assert_eq!((c.input.height, c.input.width), (256, 128));
        assert_eq!((c.model.arch, c.loss.gradient), (Arch::Resnet50, Gradient::Paper));
        c.check().unwrap();
    }

    #[test]
    fn settings_override_and_survive_the_round_trip() {
        let c =
            set(&["loss.lambda=0", "model.arch=slim", "loss.center_rate=tied", "model.width=24"]).unwrap();
        assert_eq!((c.loss.lambda, c.model.arch, c.model.width), (0.0, Arch::Slim, Some(24)));
        assert_eq!(c.loss.center_rate, CenterRate::Tied);
        assert_eq!(Config::from_toml(&c.to_toml()).unwrap(), c);
        assert_eq!(Config::from_toml(&Config::default().to_toml()).unwrap(), Config::default());
        assert_eq!(Config::from_toml(&c.to_commented_toml()).unwrap(), c);
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (wrong, right) in [
            ("loss.lamda=1", "loss.lambda"),
            ("lambda=1", "loss.lambda"),
            ("solver.lr_rate=1", "solver.rate"),
            ("solver.weightdecay=1", "solver.weight_decay"),
            ("data.flipp=true", "data.flip"),
        ] {
            let error = set(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("did you mean {right}?")), "{wrong}: {error}");
        }
    }

    #[test]
    fn ill_typed_and_out_of_range_values_name_the_key() {
        for (wrong, key) in [
            ("loss.lambda=much", "loss.lambda"),
            ("solver.batch=-4", "solver.batch"),
            ("model.arch=resnet49", "model.arch"),
            ("model.dropout=1.0", "model.dropout"),
            ("loss.center_rate=loose", "loss.center_rate"),
            ("input.mean=[1, 2]", "input.mean"),
            ("solver.rate=nan", "solver.rate"),
            ("data.crop=true", "data.crop"),
        ] {
            let mut settings = vec![wrong];
            if wrong.starts_with("data.crop") {
                settings.push("data.pad=0");
            }
            let error = set(&settings).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{wrong}: {error}");
        }
    }
}
