//! What `bcreid reproduce` and `bcreid sweep` have in common.

use super::compute::Compute;
use super::stop;
use crate::Result;
use crate::config::Config;
use crate::weights::NetworkFile;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What the runs of a study have in common.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Data set: a Market-1501 or DukeMTMC-reID folder, or one with train.csv.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Weights to start from (the paper: ImageNet's, through bcreid-convert); without it random ones.
    #[arg(long, value_name = "F.safetensors")]
    weights: Option<PathBuf>,
    /// Settings in a TOML file; without it the paper's where it states them.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// One setting, on top of the file; may be repeated. run.seed is the first seed.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    pub compute: Compute,
}

impl Common {
    /// The weights to start from, if any.
    pub fn weights(&self) -> Result<Option<NetworkFile>> {
        self.weights.as_deref().map(NetworkFile::open).transpose()
    }

    /// The settings of the first run.
    pub fn config(&self, weights: Option<&NetworkFile>) -> Result<Config> {
        Config::resolve_for(weights.map(NetworkFile::config), self.config.as_deref(), &self.settings)
    }

    /// What to say when a study was stopped.
    pub fn stopped(&self, out: &Path) -> Result<ExitCode> {
        super::say(format_args!(
            "stopped, all saved in {}; the same command goes on where it was",
            out.display()
        ))?;
        Ok(ExitCode::from(stop::INTERRUPTED))
    }
}
