//! The common options of `bcreid reproduce` and `bcreid sweep`.

use super::compute::Compute;
use super::data::Opening;
use super::settings::Settings;
use super::stop;
use crate::Result;
use crate::data::Dataset;
use crate::study::Start;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The common options of studies.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The data set's folder.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    opening: Opening,
    /// Initial weights (the paper: ImageNet weights, converted with bcreid-convert; default: random weights).
    #[arg(long, value_name = "RUN|F.safetensors", conflicts_with = "start")]
    weights: Option<PathBuf>,
    /// Starts (initial weights) to compare: random, RUN, F.safetensors, or NAME=F.safetensors.
    ///
    /// A start is named after its run or its file; NAME= gives another name. The
    /// architecture, wiring and input convention are those of each file, unless --config or --set name them; random
    /// takes them from --config and --set alone. All other settings are shared.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    start: Vec<String>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub compute: Compute,
}

impl Common {
    /// Opens the data set.
    pub fn dataset(&self) -> Result<Dataset> {
        self.opening.open(&self.data)
    }

    /// The starts to compare, each with its settings: those of the file or recipe `first`, then those of the options.
    pub fn starts(&self, first: Option<&Path>) -> Result<Vec<Start>> {
        let Settings { files, settings } = &self.settings;
        let files: Vec<PathBuf> = first.map(PathBuf::from).into_iter().chain(files.iter().cloned()).collect();
        if !self.start.is_empty() {
            return Start::several(&self.start, &files, settings);
        }
        let weights = self.weights.as_deref().map(super::open_network).transpose()?;
        Ok(vec![Start::only(weights, &files, settings)?])
    }

    /// Prints how to resume a stopped study and returns the exit status.
    pub fn stopped(&self, out: &Path) -> Result<ExitCode> {
        super::say(format_args!(
            "stopped, all saved in {}; run the same command again to resume",
            out.display()
        ))?;
        Ok(stop::exit_code())
    }
}

/// The values of an option, without surrounding blanks.
pub fn trimmed(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.trim().to_string()).collect()
}
