//! A network's weights together with what their shapes do not show: where its strides and pooling are, and
//! which colours it wants to see. Both travel in the file's metadata, so that nobody trains on shifted
//! strides or swapped colours without noticing.
//!
//! | metadata | |
//! |---|---|
//! | `format` | `bcreid` |
//! | `convolution_layout` | `KRSC` |
//! | `config` | settings as TOML: those of the run, or for converted weights `[model]` and `[input]` |
//! | `source`, `source_sha256`, `licence` | of converted weights: the file they were made from |

use super::{Loaded, TensorFile, load_into, match_tensors, read_tensors};
use crate::autograd::Params;
use crate::config::{Config, Wiring};
use crate::model::head::CENTERS;
use crate::model::resnet::Spec;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The metadata keys of where converted weights come from.
pub const ORIGIN: [&str; 3] = ["source", "source_sha256", "licence"];
/// The metadata key of the settings.
const CONFIG: &str = "config";

/// A mapped weight file of this program, its settings read.
#[derive(Debug)]
pub struct NetworkFile {
    file: TensorFile,
    config: Config,
}

/// The metadata that every weight file has: the format, and `config` as TOML.
pub fn metadata(config: String) -> BTreeMap<String, String> {
    [("format", "bcreid".into()), ("convolution_layout", "KRSC".into()), (CONFIG, config)]
        .map(|(key, value)| (key.to_string(), value))
        .into()
}

/// The settings in a file's metadata, if it has any.
///
/// # Errors
/// If they do not read, with the file's name.
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
            return Err(Error::weights(path, "is a folder; give the weights.safetensors in it"));
        }
        let file = read_tensors(path)?;
        match settings_of(&file)? {
            Some(config) => Ok(NetworkFile { file, config }),
            None => Err(file.fault(
                "says nothing of its wiring and its colours, which the shapes do not show; run it through \
                 bcreid-convert first",
            )),
        }
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorFile {
        &self.file
    }

    /// The settings the network was made with. Of converted weights only `model` and `input` mean something.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Checks the tensors as [`NetworkFile::start`] and [`NetworkFile::load`] do, against the network that the file's own
    /// settings describe.
    ///
    /// # Errors
    /// As [`load_into`]: missing tensors, other shapes, values that are not finite, tensors of a larger network.
    pub fn check(&self) -> Result<()> {
        let specs = Spec::of(&self.config.model).param_specs();
        let network = "the network of its metadata (config)";
        match_tensors(specs.shapes(), &self.file, |_| false, network).map(|_| ())
    }

    /// Which network this is: SHA-256 of all that a feature depends on, in hexadecimal. Copies and conversions of
    /// one network have one fingerprint; its classifier, its centers and the state of its training do not count.
    pub fn fingerprint(&self) -> String {
        let mut sha = Sha256::new();
        let input = &self.config.input;
        sha.update(format!("{}{} x {}\n", self.config.network_toml(), input.height, input.width));
        for name in self.file.names().filter(|name| !super::may_be_unused(name)) {
            let tensor = self.file.get(name).expect("it is one of the names");
            sha.update(name);
            sha.update(tensor.bytes());
        }
        sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What it is, in a few lines for a person.
    pub fn describe(&self) -> String {
        let Config { model, input, .. } = &self.config;
        let wiring = match model.wiring {
            Wiring::Torchvision => "torchvision's wiring (stride on the 3x3, pool1 padded)",
            Wiring::Caffe => "Caffe's wiring (stride on the first 1x1, pool1 with ceil, conv1 with a bias)",
        };
        let channels = format!("{:?}", input.channels).to_uppercase();
        let arch = format!("{:?}", model.arch).to_lowercase();
        let width = model.width.map_or(String::new(), |width| format!(" of width {width}"));
        let depths = model.depths.map_or(String::new(), |[a, b, c, d]| format!(", {a}-{b}-{c}-{d} blocks"));
        let stem = model.stem.map_or(String::new(), |stem| format!(", conv1 with {stem} channels"));
        let last = if model.last_stride == 1 { ", last stage at stride 1" } else { "" };
        let mut text = format!(
            "weights: {}\n  network: {arch}{width}{stem}{depths}, {wiring}{last}\n  input: {channels}, (pixel x {} - {:?}) \
             / {:?}",
            self.file.path().display(),
            input.scale,
            input.mean,
            input.std
        );
        for (key, label) in ORIGIN.into_iter().zip(["made from", "its SHA-256", "licence"]) {
            if let Some(value) = self.file.metadata().get(key) {
                text += &format!("\n  {label}: {}", value.escape_debug());
            }
        }
        text
    }

    /// Starts a network of `config` from these weights: everything but the classifier and the centers must be
    /// there.
    ///
    /// # Errors
    /// Missing tensors, other shapes, another wiring or input convention than the settings'.
    pub fn start(&self, config: &Config, params: &mut Params) -> Result<Loaded> {
        let (own, asked) = (&self.config, config);
        // The last stage's stride is left to the settings: to train on a finer map than the weights had is a
        // common choice.
        const MUST_AGREE: [&str; 6] =
            ["model.arch", "model.wiring", "input.channels", "input.scale", "input.mean", "input.std"];
        match own.difference_in(asked, &MUST_AGREE) {
            None => load_into(params, &self.file, |name| name.starts_with("fc.") || name == CENTERS),
            Some((key, theirs, asked)) => Err(self.file.fault(format!(
                "{key} is {theirs} in the file and {asked} in the settings; leave it out of the settings, and the \
                 file's is taken"
            ))),
        }
    }

    /// Loads all of a network that only describes images.
    ///
    /// # Errors
    /// As [`load_into`].
    pub fn load(&self, params: &mut Params) -> Result<Loaded> {
        load_into(params, &self.file, |_| false)
    }
}
