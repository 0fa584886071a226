//! `bcreid report`.

use crate::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare runs on one page.
#[derive(Debug, Args)]
pub struct Report {
    /// The runs' folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
}

impl Report {
    pub fn run(self) -> Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
