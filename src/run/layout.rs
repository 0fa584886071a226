//! The names of a run's files.
//!
//! ```text
//! RUN/config.toml          the resolved settings
//! RUN/metrics.jsonl        one line a step
//! RUN/checkpoints/         step_000001000.safetensors, ...
//! RUN/weights.safetensors  the result: weights, running statistics and centers
//! RUN/tensorboard/         curves for TensorBoard, if they were asked for
//! RUN/skipped.txt          images left out, and why (only if there are any)
//! RUN/lock                 held while a process trains here
//! ```

use std::path::{Path, PathBuf};

/// The paths of a run's files, whether they exist or not.
#[derive(Clone, Debug)]
pub struct Layout {
    path: PathBuf,
}

impl Layout {
    /// Of the run in this folder.
    pub fn of(folder: &Path) -> Self {
        Layout { path: folder.to_path_buf() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The settings.
    pub fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// One line a step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The checkpoints' folder.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Event files.
    pub fn tensorboard(&self) -> PathBuf {
        self.path.join("tensorboard")
    }

    /// The result.
    pub fn weights(&self) -> PathBuf {
        self.path.join("weights.safetensors")
    }

    /// The images that were left out, and why.
    pub fn skipped(&self) -> PathBuf {
        self.path.join("skipped.txt")
    }

    /// The lock file, held by the process that writes into the folder.
    pub fn lock(&self) -> PathBuf {
        self.path.join("lock")
    }
}
