//! Checkpoints: the state from which a run continues bit for bit, written atomically.
//!
//! A checkpoint is a safetensors file with the weights, the optimiser's state (`momentum/NAME` for each weight with SGD,
//! `exp_avg/NAME` and `exp_avg_sq/NAME` with Adam), their average (`ema/NAME`) if the run has one, the running
//! statistics and the centers; its metadata holds the settings, the seed, the number of finished steps, the position of
//! the sampler, the identity of the data and the provenance. Random numbers are functions of (seed, step), so seed and step are the whole random state.
//!
//! Book: [chapter 16](../../../../../docs/book/src/16-bits.md).

use super::Layout;
use super::validation::Validation;
use crate::autograd::{ParamSpecs, Params};
use crate::config::Config;
use crate::data::{Attributes, Classes, Loader};
use crate::device::{BatchNormBackend, Device, Precision};
use crate::error::{Remedy, excerpt};
use crate::files::write_json;
use crate::optim::Optimizer;
use crate::weights::provenance::{PROVENANCE, Training};
use crate::weights::{self, Provenance, TensorFile, TensorOut, Values, network};
use crate::{Error, Result};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The metadata key of the identities of the training set.
const CLASSES: &str = "classes";
/// The metadata key of the SHA-256 of the file of attributes.
const ATTRIBUTES: &str = "attributes_sha256";
/// The metadata key of the precision.
const PRECISION: &str = "precision";
/// The metadata key of who computed batch normalisation; absent where this program's kernels did.
const BATCHNORM: &str = "batchnorm";

/// The metadata key of the number of ranks; absent where there was one.
const RANKS: &str = "ranks";

/// The identity of a run in its checkpoints: settings, classes, images, precision, batch normalisation; and its
/// provenance, which a resumed run takes from them.
#[derive(Clone, Debug)]
pub struct Identity {
    config: Config,
    classes: Vec<i64>,
    /// CRC-32 of all training images after decoding and resizing, with their identities.
    images_crc32: u32,
    /// The precision of products. A run in another precision has other bits.
    precision: Precision,
    /// The backend of batch normalisation. A run with another backend has other bits.
    batchnorm: BatchNormBackend,
    /// The SHA-256 of the file of attributes, if the run trains on one.
    attributes: Option<String>,
    /// The number of ranks. A run of another number has other bits, since sums over ranks round otherwise.
    ranks: usize,
    /// Whether a checkpoint of another number of ranks is accepted.
    accepts_other_ranks: bool,
    training: Training,
}

impl Identity {
    /// The identity of a run with these settings and this provenance on the images of `loader`, computed on `device`.
    pub fn new(
        config: &Config,
        classes: &Classes,
        loader: &Loader,
        device: &Device,
        training: &Training,
    ) -> Self {
        Identity {
            config: config.clone(),
            classes: classes.pids().to_vec(),
            images_crc32: loader.fingerprint(),
            precision: device.precision(),
            batchnorm: device.batchnorm(),
            attributes: None,
            ranks: device.group().ranks(),
            accepts_other_ranks: false,
            training: training.clone(),
        }
    }

    /// The same, for a run that goes on with another number of ranks.
    pub fn accepting_other_ranks(self, accepts_other_ranks: bool) -> Self {
        Identity { accepts_other_ranks, ..self }
    }

    /// The settings and data that all ranks of a run must share, each with its name.
    pub fn of_data(&self) -> [(&'static str, String); 4] {
        [
            ("the settings", self.config.to_toml()),
            ("the identities of the training set", class_list(&self.classes)),
            ("the training images", format!("{:08x}", self.images_crc32)),
            ("the attributes", self.attributes.clone().unwrap_or_default()),
        ]
    }

    /// The same with the attributes that the run trains on.
    pub fn with_attributes(self, attributes: Option<&Attributes>) -> Self {
        Identity { attributes: attributes.map(|of| of.sha256.clone()), ..self }
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        let entry = |key: &str, value: String| (key.to_string(), value);
        let mut metadata = network::metadata(self.config.to_toml());
        metadata.extend([
            entry(CLASSES, class_list(&self.classes)),
            entry("seed", self.config.run.seed.to_string()),
            entry("images_crc32", format!("{:08x}", self.images_crc32)),
            entry(PRECISION, self.precision.to_string()),
            entry(PROVENANCE, self.training.to_json()),
        ]);
        if self.batchnorm != BatchNormBackend::default() {
            metadata.extend([entry(BATCHNORM, self.batchnorm.to_string())]);
        }
        if self.ranks > 1 {
            metadata.extend([entry(RANKS, self.ranks.to_string())]);
        }
        metadata.extend(self.attributes.iter().map(|sha256| entry(ATTRIBUTES, sha256.clone())));
        metadata
    }

    /// Checks that a checkpoint was made from the same data with the same settings.
    fn check(&self, file: &TensorFile) -> Result<()> {
        let batchnorm = self.batchnorm.to_string();
        let theirs = file.metadata().get(BATCHNORM).map_or("own", String::as_str);
        if theirs != batchnorm {
            return Err(file
                .fault(format!("was made with batch norm by {theirs}, not {batchnorm}"))
                .with_remedies([Remedy::BatchNorm(theirs.into())]));
        }
        let ranks = file.metadata().get(RANKS).map_or("1", String::as_str);
        if ranks != self.ranks.to_string() && !self.accepts_other_ranks {
            return Err(file
                .fault(format!("is of a run with {ranks} rank(s), and this one has {}", self.ranks))
                .with_remedies([Remedy::Ranks(ranks.into()), Remedy::OtherRanks]));
        }
        for (key, own) in self.metadata() {
            if key == PRECISION {
                // Checkpoints from before the choice of a precision are of f32.
                let theirs = file.metadata().get(&key).map_or("f32", String::as_str);
                if theirs != own {
                    return Err(file
                        .fault(format!("was made with precision {theirs}, not {own}"))
                        .with_remedies([Remedy::Precision(theirs.into())]));
                }
            } else if key == CLASSES {
                check_classes(file, &self.classes)?;
            } else if ![network::CONFIG, PROVENANCE, BATCHNORM, RANKS].contains(&&*key) {
                check_entry(file, &key, &own)?;
            }
        }
        check_settings(file, &self.config)
    }
}

/// Checks an entry of a checkpoint's metadata.
fn check_entry(file: &TensorFile, key: &str, own: &str) -> Result<()> {
    let theirs = file.metadata().get(key);
    if theirs.is_some_and(|theirs| theirs == own) {
        return Ok(());
    }
    /// Most characters of a value that the error quotes.
    const QUOTED: usize = 40;
    Err(file
        .fault(format!(
            "belongs to another run or data set ({key}: {} in the checkpoint, {} here)",
            theirs.map_or("nothing".into(), |theirs| excerpt(theirs, QUOTED)),
            excerpt(own, QUOTED)
        ))
        .with_remedies([Remedy::SameData]))
}

fn check_classes(file: &TensorFile, own: &[i64]) -> Result<()> {
    let stored = file.metadata().get(CLASSES).and_then(|text| serde_json::from_str::<Vec<i64>>(text).ok());
    let Some(theirs) = stored else { return check_entry(file, CLASSES, &class_list(own)) };
    let only_in = |one: &[i64], other: &[i64]| {
        let other: HashSet<&i64> = other.iter().collect();
        one.iter().copied().find(|pid| !other.contains(pid))
    };
    let example = match (only_in(&theirs, own), only_in(own, &theirs)) {
        (Some(pid), _) => format!("identity {pid} is only in the checkpoint"),
        (None, Some(pid)) => format!("identity {pid} is only here"),
        (None, None) if theirs == own => return Ok(()),
        (None, None) => "in another order".into(),
    };
    Err(file
        .fault(format!(
            "belongs to another run or data set ({} identities in the checkpoint, {} here; {example})",
            theirs.len(),
            own.len()
        ))
        .with_remedies([Remedy::SameData]))
}

/// Compares the settings. The number of iterations may differ, because a run may be trained longer, unless the learning
/// rate depends on it.
fn check_settings(file: &TensorFile, own: &Config) -> Result<()> {
    match network::settings_of(file)?.and_then(|theirs| own.difference(&theirs)) {
        Some(difference) => Err(file.fault(format!(
            "was made with other settings: {difference}; put the run's config.toml back as it was"
        ))),
        None => Ok(()),
    }
}

fn class_list(classes: &[i64]) -> String {
    serde_json::json!(classes).to_string()
}

/// The writer of a run's checkpoints.
#[derive(Debug)]
pub struct Checkpoint {
    /// The folder of the checkpoints.
    pub folder: PathBuf,
    /// The number of checkpoints that stay.
    pub kept: usize,
    /// The identity of the run.
    pub identity: Identity,
    /// Steps of an epoch of the sampler.
    pub steps_per_epoch: u64,
}

impl Checkpoint {
    /// Saves the state after `done` steps.
    ///
    /// # Errors
    /// A weight that is not finite: no file is written, so that the newest checkpoint is a good one. Errors of the file
    /// system, for example a full disk: earlier checkpoints survive.
    // ANCHOR: save
    pub fn save(&self, done: u64, params: &Params, optimizer: &dyn Optimizer) -> Result<()> {
        let mut tensors = weights::model_tensors(params)?;
        require_finite(&tensors)?;
        for (name, tensor) in optimizer.state(params) {
            tensors.push(TensorOut::of(name, tensor)?);
        }
        let mut metadata = self.identity.metadata();
        metadata.insert("step".into(), done.to_string());
        metadata.insert("epoch".into(), (done / self.steps_per_epoch).to_string());
        metadata.insert("batch_of_epoch".into(), (done % self.steps_per_epoch).to_string());
        weights::write_tensors(&self.folder.join(file_name(done)), &tensors, &metadata)
    }
    // ANCHOR_END: save

    /// Deletes the oldest checkpoints beyond the number kept.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn prune(&self) -> Result<()> {
        let all = list(&self.folder)?;
        all.iter().rev().skip(self.kept).try_for_each(|(_, old)| fs::remove_file(old).map_err(Error::io(old)))
    }

    /// Writes the result of the run: weights, running statistics and centers, without the optimiser's state.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn write_weights(&self, path: &Path, params: &Params) -> Result<()> {
        let tensors = weights::model_tensors(params)?;
        require_finite(&tensors)?;
        weights::write_tensors(path, &tensors, &self.identity.metadata())
    }

    /// Writes the weights of the best evaluation so far and its record into the run's folder.
    ///
    /// # Errors
    /// As [`Checkpoint::save`].
    pub fn write_best(&self, run: &Layout, params: &Params, best: &Validation) -> Result<()> {
        let tensors = weights::model_tensors(params)?;
        require_finite(&tensors)?;
        let mut metadata = self.identity.metadata();
        metadata.insert("validation".into(), best.to_json());
        weights::write_tensors(&run.best(), &tensors, &metadata)?;
        write_json(&run.best_record(), best)
    }

    /// Adds the last good checkpoint to an error, and how to continue from it.
    pub fn name_last_good(&self, error: Error) -> Error {
        let last = newest(&self.folder).ok().flatten();
        let checkpoint = last.as_ref().map_or("no checkpoint was saved yet".into(), |path| {
            format!("the last good checkpoint is {}", path.display())
        });
        let (fix, remedies) = match (&error, last) {
            (Error::Diverged(_), _) => {
                ("start again with a lower solver.lr, or lower weights of the losses (loss.*.weight)", vec![])
            }
            (_, Some(_)) => ("fix the cause", vec![Remedy::Resume]),
            (_, None) => ("fix the cause and start again", vec![]),
        };
        Error::Remedied { error: error.into(), context: format!("{checkpoint}; {fix}"), remedies }
    }
}

/// The number of finished steps in the newest checkpoint of `folder`. The checkpoint is compared with the settings, the
/// classes and the declared network first, before the images are decoded and the network has memory.
///
/// # Errors
/// As [`restore`], apart from faults of the images and of the precision.
pub fn check_newest(folder: &Path, config: &Config, classes: &Classes, specs: &ParamSpecs) -> Result<u64> {
    let (done, file) = open_newest(folder)?;
    // Settings decide which identities are held out.
    check_settings(&file, config)?;
    check_classes(&file, classes.pids())?;
    weights::check_tensors(specs, &file, |_| false).map_err(damaged)?;
    if done > config.solver.iterations {
        let all = config.solver.iterations;
        return Err(damaged(file.fault(format!("is of step {done}, and the run has {all} iterations"))));
    }
    Ok(done)
}

/// Checks that the newest checkpoint in `folder` has at most `iterations` steps behind it.
///
/// # Errors
/// More steps are done.
pub fn require_done_within(folder: &Path, iterations: u64) -> Result<()> {
    match newest_step(folder)? {
        Some(done) if done > iterations => Err(Error::Run(format!(
            "{}: {done} iterations are done already, and {iterations} are asked; ask for more",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// The number of finished steps of the newest checkpoint in `folder`, by its name; `None` without a checkpoint.
///
/// # Errors
/// Errors of the file system.
pub fn newest_step(folder: &Path) -> Result<Option<u64>> {
    Ok(list(folder)?.pop().map(|(done, _)| done))
}

/// The provenance in the newest checkpoint of `folder`, for a run that is resumed; nothing recorded if the checkpoint
/// states none that can be read.
///
/// # Errors
/// No checkpoint; a checkpoint that cannot be read.
pub fn training_of_newest(folder: &Path) -> Result<Training> {
    let (_, file) = open_newest(folder)?;
    Ok(match Provenance::of(&file) {
        Provenance::Trained(training) => *training,
        _ => Training::default(),
    })
}

/// Restores the newest checkpoint in `folder`.
///
/// # Errors
/// No checkpoint; a checkpoint of other data, settings or another model; a checkpoint that cannot be read.
pub fn restore(
    folder: &Path,
    identity: &Identity,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
) -> Result<()> {
    let (_, file) = open_newest(folder)?;
    identity.check(&file)?;
    weights::load_into(params, &file, |_| false).map_err(damaged)?;
    for (name, state) in optimizer.state_mut(params) {
        let Some(view) = file.get(&name) else {
            return Err(damaged(file.fault(format!(
                "has no {name}, a state of the optimiser of this run; it was made with another optimiser"
            ))));
        };
        if view.shape() != state.shape().dims() {
            let detail = format!("{name} is {:?}, not {}", view.shape(), state.shape());
            return Err(damaged(file.fault(detail)));
        }
        state.copy_from_host_f32(&view.f32().map_err(damaged)?)?;
    }
    Ok(())
}

/// The newest checkpoint in `folder` and its number of finished steps.
fn open_newest(folder: &Path) -> Result<(u64, TensorFile)> {
    let Some((done, path)) = list(folder)?.pop() else {
        return Err(Error::Run(format!("{}: no checkpoint to resume from", folder.display()))
            .with_remedies([Remedy::StartAnew]));
    };
    let file = weights::read_tensors(&path).map_err(damaged)?;
    if file.metadata().get("step") != Some(&done.to_string()) {
        return Err(damaged(file.fault("its metadata names another step than its file name")));
    }
    Ok((done, file))
}

fn damaged(error: Error) -> Error {
    Error::Run(format!("{error}; delete it to resume from the checkpoint before it"))
}

/// True if `folder` has a checkpoint.
pub fn has_one(folder: &Path) -> bool {
    list(folder).is_ok_and(|found| !found.is_empty())
}

/// The newest checkpoint in `folder`; `None` without a checkpoint.
///
/// # Errors
/// Errors of the file system.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(list(folder)?.pop().map(|(_, path)| path))
}

fn require_finite(tensors: &[TensorOut<'_>]) -> Result<()> {
    let is_finite = |tensor: &TensorOut<'_>| match &tensor.values {
        Values::F32(values) => values.iter().all(|v| v.is_finite()),
        Values::I64(_) => true,
    };
    match tensors.iter().find(|tensor| !is_finite(tensor)) {
        Some(tensor) => Err(Error::Diverged(format!("{} is no longer finite", tensor.name))),
        None => Ok(()),
    }
}

fn file_name(done: u64) -> String {
    format!("step_{done:010}.safetensors")
}

/// All checkpoints with their numbers of steps, oldest first.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        let name = path.file_name().and_then(|n| n.to_str());
        let step = name.and_then(|n| n.strip_prefix("step_")?.strip_suffix(".safetensors")?.parse().ok());
        if let Some(step) = step {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}
