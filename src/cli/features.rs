//! `bcreid features`: conversion of feature files.

use crate::Result;
use crate::export::features;
use crate::files::follow;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Convert feature files: for NumPy, pandas or Polars, or from another toolbox for evaluation with this program.
///
/// The file name's extension sets the format: .safetensors is this program's own; .npy is float32 or float64 [N, D],
/// with a .csv of the same name beside it that lists path,pid,camid of each row; .arrow is a table, for output only.
#[derive(Debug, Args)]
pub struct Features {
    /// The features to convert.
    #[arg(value_name = "IN.safetensors|IN.npy")]
    input: PathBuf,
    /// The file to write.
    #[arg(long, value_name = "F.safetensors|F.npy|F.arrow")]
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
}

impl Features {
    pub fn run(mut self) -> Result<ExitCode> {
        self.out = follow(&self.out)?;
        super::require_room_for_features(&self.out, self.force, &[&self.input])?;
        let features = features::read(&self.input)?;
        features::write(&features, &self.out)?;
        super::say_features(&features, &self.out)?;
        Ok(ExitCode::SUCCESS)
    }
}
