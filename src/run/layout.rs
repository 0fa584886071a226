//! The layout of a run folder.
//!
//! ```text
//! RUN/config.toml          the resolved settings
//! RUN/provenance.json      start, data set, version, date, duration and device
//! RUN/metrics.jsonl        the metrics, one line for each step
//! RUN/checkpoints/         step_000001000.safetensors, ...
//! RUN/weights.safetensors  the result: weights, running statistics and centers
//! RUN/validation.jsonl     the evaluations during training, one line for each (with run.eval_every)
//! RUN/best.safetensors     the weights of the best of them, and best.json, its figures
//! RUN/tensorboard/         curves for TensorBoard, with --tensorboard
//! RUN/skipped.txt          skipped images with the reasons (only if any were skipped)
//! RUN/lock                 the lock of the process that writes into the folder
//! ```

use std::path::{Path, PathBuf};

/// Name of the folder of the checkpoints.
pub(super) const CHECKPOINTS: &str = "checkpoints";
/// Names of the files that training writes, apart from the settings, which it does not overwrite.
pub(super) const FILES_OF_TRAINING: [&str; 7] =
    [METRICS, WEIGHTS, SKIPPED, PROVENANCE, VALIDATION, BEST, BEST_RECORD];
const METRICS: &str = "metrics.jsonl";
const WEIGHTS: &str = "weights.safetensors";
const SKIPPED: &str = "skipped.txt";
const VALIDATION: &str = "validation.jsonl";
const BEST: &str = "best.safetensors";
const BEST_RECORD: &str = "best.json";
/// Name of the file of the run's provenance.
pub(super) const PROVENANCE: &str = "provenance.json";
/// Name of the folder of TensorBoard event files.
pub(super) const TENSORBOARD: &str = "tensorboard";

/// The paths of a run's files, which need not exist.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// The layout of the run folder `folder`.
    pub fn of(folder: &Path) -> Self {
        Layout { path: folder.to_path_buf() }
    }

    /// The run folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The resolved settings.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The provenance of the run ([`super::RunProvenance`]).
    pub fn provenance(&self) -> PathBuf {
        self.path.join(PROVENANCE)
    }

    /// The metrics, one line for each step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join(METRICS)
    }

    /// The folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The folder of TensorBoard event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join(TENSORBOARD)
    }

    /// The result: weights, running statistics and centers.
    pub fn weights(&self) -> PathBuf {
        self.path.join(WEIGHTS)
    }

    /// The evaluations during training ([`super::validation`]).
    pub fn validation(&self) -> PathBuf {
        self.path.join(VALIDATION)
    }

    /// The weights of the best evaluation during training.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The figures of the best evaluation during training.
    pub fn best_record(&self) -> PathBuf {
        self.path.join(BEST_RECORD)
    }

    /// The skipped images with the reasons.
    pub fn skipped(&self) -> PathBuf {
        self.path.join(SKIPPED)
    }

    /// The lock file, held by the process that writes into the folder.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }
}
