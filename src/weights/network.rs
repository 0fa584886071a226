//! Weight files: a network's weights with its wiring and input convention, which the shapes of the weights do not
//! show. Both are stored in the file's metadata, so that wrong strides or swapped colour channels are detected.
//!
//! | metadata | |
//! |---|---|
//! | `format` | `bcreid` |
//! | `convolution_layout` | `KRSC` |
//! | `config` | settings as TOML: those of the run, or for converted weights `[model]` and `[input]` |
//!
//! Both kinds of weights also state their [`Provenance`], see [`super::provenance`].

use super::provenance::{Provenance, Text, WeightsFile};
use super::{TensorFile, check_tensors, fill, match_tensors, read_tensors};
use crate::autograd::Params;
use crate::config::{Config, NeckKind, Pooling, Wiring};
use crate::data::Channels;
use crate::device::Device;
use crate::error::printable;
use crate::files::hex;
use crate::model::embedding::EMBEDDING;
use crate::model::head::is_of_losses;
use crate::model::neck::NECK;
use crate::model::pooling::EXPONENT;
use crate::model::{Model, Outputs};
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The metadata key of the settings.
pub const CONFIG: &str = "config";

/// A memory-mapped weight file with its settings.
#[derive(Debug)]
pub struct NetworkFile {
    file: TensorFile,
    config: Config,
}

/// The metadata of every weight file: the format, and the settings `config` as TOML.
pub fn metadata(config: String) -> BTreeMap<String, String> {
    [("format", "bcreid".into()), ("convolution_layout", "KRSC".into()), (CONFIG, config)]
        .map(|(key, value)| (key.to_string(), value))
        .into()
}

/// The settings in a file's metadata; `None` without settings.
///
/// # Errors
/// Invalid settings, with the file's name.
pub fn settings_of(file: &TensorFile) -> Result<Option<Config>> {
    let Some(text) = file.metadata().get(CONFIG) else { return Ok(None) };
    Config::from_toml(text).map(Some).map_err(|e| file.fault(e.to_string()))
}

impl NetworkFile {
    /// Maps the file and reads its settings.
    ///
    /// # Errors
    /// A file that is no safetensors file, or not one that `bcreid` or its converter wrote.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::weights(
                path,
                "is a folder; give the file weights.safetensors in this folder",
            ));
        }
        let file = read_tensors(path)?;
        match settings_of(&file)? {
            Some(config) => Ok(NetworkFile { file, config }),
            None if file.get("features").is_some() => {
                let fix = "give the run or the weight file that they were extracted with";
                Err(file.fault(format!("features, and no network; {fix}")))
            }
            None => Err(file.fault(
                "the metadata gives no wiring and no input convention, which the weights' shapes do not show; run it \
                 through bcreid-convert first",
            )),
        }
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorFile {
        &self.file
    }

    /// The network's settings. Of converted weights only `model` and `input` are meaningful.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Checks the tensors against the network of the file's own settings, as [`NetworkFile::network`] does.
    ///
    /// # Errors
    /// As [`load_into`](super::load_into): missing tensors, other shapes, values that are not finite, tensors of a
    /// larger network.
    pub fn check(&self) -> Result<()> {
        let (_, specs) = Model::declare(&self.config, 0, &Device::cpu())?;
        let network = "the network of its metadata (config)";
        match_tensors(specs.shapes(), &self.file, |_| false, network).map(|_| ())
    }

    /// The fingerprint of the network: the SHA-256, in hexadecimal, of everything that features depend on. Copies and
    /// conversions of a network have the same fingerprint; classifier, centers and training state are left out.
    pub fn fingerprint(&self) -> String {
        let mut sha = Sha256::new();
        let input = &self.config.input;
        sha.update(format!("{}{} x {}\n", self.config.network_toml(), input.height, input.width));
        for name in self.file.names().filter(|name| !super::may_be_unused(name)) {
            let tensor = self.file.get(name).expect("the name is one of the file's");
            sha.update(name);
            sha.update(tensor.bytes());
        }
        hex(&sha.finalize())
    }

    /// The provenance of the weights, as the file states it.
    pub fn provenance(&self) -> Provenance {
        Provenance::of(&self.file)
    }

    /// The file as the start of a run, or as the network of features: name, SHA-256 and provenance. The whole file is
    /// read.
    pub fn weights_file(&self) -> WeightsFile {
        let name = self.file.path().file_name().unwrap_or_default();
        WeightsFile {
            file: Text::new(&name.to_string_lossy()),
            sha256: Text::new(&self.file.sha256()),
            provenance: self.provenance(),
        }
    }

    /// A description in a few lines: file, network, input convention and provenance.
    pub fn describe(&self) -> String {
        let Config { model, input, .. } = &self.config;
        let wiring = match model.wiring {
            Wiring::Torchvision => "torchvision's wiring (stride on the 3x3, pool1 padded)",
            Wiring::Caffe => "Caffe's wiring (stride on the first 1x1, pool1 with ceil, conv1 with a bias)",
        };
        let channels = match input.channels {
            Channels::Rgb => "RGB",
            Channels::Bgr => "BGR",
        };
        let last = if model.last_stride == 1 { ", last stage at stride 1" } else { "" };
        let mut text = format!(
            "weights: {}\n  network: {}, {wiring}{last}\n  input: {channels}, (pixel x {} - \
             {:?}) / {:?}",
            printable(&self.file.path().display().to_string()),
            model.describe(),
            input.scale,
            input.mean,
            input.std
        );
        for line in self.provenance().lines() {
            text += &format!("\n  {line}");
        }
        text
    }

    /// Creates the network of the file's settings with all its parameters and buffers, for feature extraction.
    ///
    /// # Errors
    /// As [`load_into`](super::load_into), before any memory is allocated.
    pub fn network(&self, device: &Device) -> Result<(Model, Params)> {
        self.build(&self.config, Outputs::default(), device)
    }

    /// Creates a network of `config` for these identities that starts from these weights; only the classifier, the
    /// centers, the heads of losses, the pooling's exponent, the embedding and the neck may be missing.
    ///
    /// # Errors
    /// As [`NetworkFile::check_start`], before any memory is allocated.
    pub fn start<'a>(
        &self,
        config: &Config,
        outputs: impl Into<Outputs<'a>>,
        device: &Device,
    ) -> Result<(Model, Params)> {
        self.check_agreement(config)?;
        self.build(config, outputs.into(), device)
    }

    /// Checks that a network of `config` can start from these weights.
    ///
    /// # Errors
    /// Missing tensors, other shapes, another wiring or input convention than in the settings.
    pub fn check_start(&self, config: &Config) -> Result<()> {
        self.check_agreement(config)?;
        let (_, specs) = Model::declare(config, 0, &Device::cpu())?;
        check_tensors(&specs, &self.file, is_new_layer)
    }

    /// The file's settings are its own claim. So their network is compared with the header first, and memory is
    /// allocated only for tensors that the file holds.
    fn build(&self, config: &Config, outputs: Outputs<'_>, device: &Device) -> Result<(Model, Params)> {
        let (model, specs) = Model::declare(config, outputs, device)?;
        // A run starts with a classifier, centers, heads of losses and layers in front of them of its own where the file has
        // none. Features need these layers.
        let is_new = |name: &str| name.starts_with("fc.") || is_of_losses(name) || is_new_layer(name);
        let may_miss = |name: &str| outputs.classes > 0 && is_new(name);
        let (values, _) = match_tensors(specs.shapes(), &self.file, may_miss, "the model")?;
        let mut params = Params::new(device, &specs)?;
        if model.head.is_some() {
            params.initialise(config.run.seed)?;
        }
        fill(&mut params, values)?;
        Ok((model, params))
    }

    fn check_agreement(&self, config: &Config) -> Result<()> {
        let (own, asked) = (&self.config, config);
        if own.model.neck != NeckKind::None && asked.model.neck == NeckKind::None {
            return Err(self.file.fault(
                "has a batch-norm neck (bottleneck.*), and model.neck is none in the settings; remove model.neck from the \
                 settings to use the file's",
            ));
        }
        if own.model.pooling == Pooling::Gem {
            self.check_equal(asked, &["model.pooling"])?;
        }
        if !own.model.embedding.is_empty() {
            if asked.model.embedding.is_empty() {
                return Err(self.file.fault(
                    "has an embedding (embedding.*), and model.embedding is [] in the settings; remove model.embedding \
                     from the settings to use the file's",
                ));
            }
            const EMBEDDINGS: [&str; 4] = [
                "model.embedding",
                "model.embedding_batchnorm",
                "model.embedding_relu",
                "model.embedding_bias",
            ];
            self.check_equal(asked, &EMBEDDINGS)?;
        }
        // The stride of the last stage may differ: fine-tuning with a finer last feature map is common.
        const MUST_AGREE: [&str; 7] = [
            "model.arch",
            "model.wiring",
            "model.ibn",
            "input.channels",
            "input.scale",
            "input.mean",
            "input.std",
        ];
        self.check_equal(asked, &MUST_AGREE)
    }

    /// Checks that these settings are those of the file.
    fn check_equal(&self, asked: &Config, keys: &[&str]) -> Result<()> {
        match self.config.difference_in(asked, keys) {
            None => Ok(()),
            Some((key, theirs, asked)) => Err(self.file.fault(format!(
                "{key} is {theirs} in the file and {asked} in the settings; remove {key} from the settings to use the \
                 file's value"
            ))),
        }
    }
}

/// Whether a tensor belongs to a layer between the last feature map and the classifier: a run starts with new ones
/// where the file has none.
fn is_new_layer(name: &str) -> bool {
    name == EXPONENT || name.starts_with(EMBEDDING) || name.starts_with(NECK)
}
