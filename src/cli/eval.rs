//! `bcreid eval`.

use super::extract::How;
use crate::data::Dataset;
use crate::eval::kept::{self, Kept};
use crate::eval::{self, Protocol, Unmatched};
use crate::weights::Features;
use crate::{Error, Result};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Evaluate a run on a data set, or two feature files: CMC, both mAPs, mINP.
#[derive(Debug, Args)]
pub struct Eval {
    /// A run's folder, or a weight file; goes with --data.
    #[arg(long, value_name = "RUN", requires = "data", conflicts_with_all = ["query", "gallery"])]
    run: Option<PathBuf>,
    /// The data set whose query and gallery images are compared.
    #[arg(long, value_name = "DIR", requires = "run")]
    data: Option<PathBuf>,
    /// Features of the query images; goes with --gallery.
    #[arg(long, value_name = "Q.safetensors", requires = "gallery")]
    query: Option<PathBuf>,
    /// Features of the gallery images.
    #[arg(long, value_name = "G.safetensors", requires = "query")]
    gallery: Option<PathBuf>,
    /// Write the result as JSON too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Divide each feature by its length first (what this program extracts is normalised already).
    #[arg(long)]
    normalise: bool,
    /// Count a query without a match as a miss, as Market-1501's evaluator does, instead of leaving it out.
    #[arg(long)]
    count_unmatched: bool,
    #[command(flatten)]
    how: How,
}

impl Eval {
    pub fn run(self) -> Result<ExitCode> {
        self.json.as_deref().map_or(Ok(()), super::require_parent)?;
        let (device, which) = self.how.compute.choose()?;
        eprintln!("{which}");
        let (query, gallery) = match (&self.run, &self.data, &self.query, &self.gallery) {
            (Some(run), Some(data), ..) => {
                let dataset = Dataset::open(data)?;
                dataset.require_test()?;
                let mut extractor = self.how.extractor(run, &device)?;
                let bar = super::bar("extracting");
                let pair =
                    extractor.extract_test(&dataset, |done, total| super::advance(&bar, done, total))?;
                bar.finish_and_clear();
                pair
            }
            (_, _, Some(query), Some(gallery)) => (Features::read(query)?, Features::read(gallery)?),
            _ => {
                return Err(Error::Data(
                    "eval needs --run RUN --data DIR, or --query Q.safetensors --gallery G.safetensors"
                        .into(),
                ));
            }
        };
        let unmatched = if self.count_unmatched { Unmatched::Missed } else { Unmatched::Dropped };
        let protocol = Protocol { normalise: self.normalise, unmatched };
        let report = eval::evaluate(&query, &gallery, &protocol, &device)?;
        if let Some(json) = &self.json {
            report.write_json(json)?;
        }
        if let (Some(run), Some(data)) = (self.run.filter(|run| run.is_dir()), &self.data) {
            let kept = Kept { name: kept::name_of(data), query, gallery, report: report.clone() };
            eprintln!("kept for reports: {}", kept.write(&run)?.display());
        }
        super::say(report)?;
        Ok(ExitCode::SUCCESS)
    }
}
