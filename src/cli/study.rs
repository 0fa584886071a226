//! What `bcreid reproduce` and `bcreid sweep` have in common.

use super::compute::Compute;
use super::stop;
use crate::Result;
use crate::study::Start;
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
    #[arg(long, value_name = "F.safetensors", conflicts_with = "start")]
    weights: Option<PathBuf>,
    /// Starts to compare: random, F.safetensors, RUN/weights.safetensors, or NAME=F.safetensors.
    ///
    /// A file's name is the start's, and RUN/weights.safetensors has that of the run; with NAME= you give another one.
    /// The network's kind, wiring and colours are those of each file, where --config and --set do not name them; random
    /// takes them from --config and --set alone. All other settings are shared.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    start: Vec<String>,
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
    /// The starts of the runs, each with its settings.
    pub fn starts(&self) -> Result<Vec<Start>> {
        let file = self.config.as_deref();
        if !self.start.is_empty() {
            return Start::several(&self.start, file, &self.settings);
        }
        let weights = self.weights.as_deref().map(NetworkFile::open).transpose()?;
        Ok(vec![Start::only(weights, file, &self.settings)?])
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

/// Values of one option, without the blanks around them.
pub fn trimmed(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.trim().to_string()).collect()
}
