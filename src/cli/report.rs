//! `bcreid report`: a page that compares runs.

use super::compute::Compute;
use super::output;
use crate::console::Bytes;
use crate::files::write_atomically;
use crate::report::page::{self, Options};
use crate::{Error, Result, detail, note};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

/// Compare runs on one HTML page: results, curves, operating points, ranked lists, settings.
#[derive(Debug, Args)]
pub struct Report {
    /// The run folders. Evaluate the runs first: bcreid eval --run RUN --data DIR.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page to write: one file without external resources.
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    force: bool,
    /// Only the evaluation of this name; may be repeated (default: all stored evaluations).
    #[arg(long, value_name = "NAME")]
    evaluation: Vec<String>,
    /// Number of queries of each kind (default: 8, or fewer so that the page stays below 5 MB).
    #[arg(long, value_name = "N")]
    queries: Option<usize>,
    /// Seed of the random choice of queries.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Embed images of this folder too; may be repeated. Without it, images are embedded from the data set of the
    /// evaluation only. Images that have moved since the evaluation are searched in it by the end of their path.
    #[arg(long, value_name = "DIR")]
    images: Vec<PathBuf>,
    /// Show activation maps below the images of the ranked lists, computed by the runs' networks: where a network
    /// responds, and what brings an image near the query.
    #[arg(long)]
    maps: bool,
    #[command(flatten)]
    compute: Compute,
}

impl Report {
    pub fn run(mut self) -> Result<ExitCode> {
        let extension = self.out.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        if !matches!(extension.as_deref(), Some("html" | "htm")) {
            return Err(Error::Run(format!(
                "--out {}: a report is written as HTML; give a name that ends in .html",
                self.out.display()
            )));
        }
        self.out = output::prepare(&self.out, self.force)?;
        super::require_folders(&self.images)?;
        let (device, which) = self.compute.choose()?;
        // Only maps are computed by networks.
        if self.maps {
            note!("{which}");
        } else {
            detail!("{which}");
        }
        let Report { evaluation: only, queries, seed, images, maps, .. } = self;
        let options = Options { only, queries, seed, images, maps, made: SystemTime::now() };
        let report = page::page(&self.runs, &options, &device)?;
        super::tell_notes(&report.notes);
        write_atomically(&self.out, |writer| writer.write_all(report.html.as_bytes()))?;
        super::say(format_args!("{}: {}", self.out.display(), Bytes(report.html.len())))?;
        Ok(ExitCode::SUCCESS)
    }
}
