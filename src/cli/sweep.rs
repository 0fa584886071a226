//! `bcreid sweep`: hyperparameter search on held-out identities.

use super::stop;
use super::study::{Common, trimmed};
use crate::study::sweep::{Asked, HeldOut, Swept};
use crate::study::{Start, Study, sweep};
use crate::study::{names, recipes};
use crate::{Error, Result, note};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// The baselines of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Baseline {
    /// For each point a baseline with its settings and lambda 0.
    Each,
    /// No baselines besides swept values of lambda 0.
    None,
}

/// Try values of lambda, tau and other settings, evaluated on held-out identities of the training part.
///
/// Each setting is varied with the others fixed; with --grid all combinations are run. Finished runs of an earlier
/// call are not repeated.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Values of loss.batch_contrastive.weight, the weight of the batch-contrastive loss.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    lambda: Vec<String>,
    /// Values of loss.batch_contrastive.tau, the margin of the hinge.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    tau: Vec<String>,
    /// Learning rates of the class centers: numbers, or tied.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    center_rate: Vec<String>,
    /// Reductions of the loss over a batch: mean, sum.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    reduction: Vec<String>,
    /// Gradients of the loss: paper, exact.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    gradient: Vec<String>,
    /// Any other setting with its values; may be repeated (bcreid config lists all settings).
    #[arg(long, value_name = "section.key=A,B,...")]
    vary: Vec<String>,
    /// Run all combinations, instead of varying one setting at a time.
    #[arg(long)]
    grid: bool,
    /// Baselines (lambda 0) to compare the points with: one for each point, or none (default: each if a setting of the
    /// loss is swept).
    #[arg(long, value_enum, value_name = "each|none")]
    baseline: Option<Baseline>,
    /// Number of runs of each point, with consecutive seeds.
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    /// Number of query images of held-out identities (the paper used 100 validation images).
    #[arg(long, value_name = "N", default_value_t = 100)]
    validation: usize,
    /// The folder for all runs, the table and the plot.
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Sweep {
    pub fn run(self) -> Result<ExitCode> {
        let starts = self.common.starts(None)?;
        let swept = self.swept(&starts)?;
        if swept.is_empty() {
            return Err(Error::Config(
                "nothing to sweep; give values, for example --lambda 0.1,1,10, --vary solver.batch=16,32 or --start \
                 random,F.safetensors"
                    .into(),
            ));
        }
        let baselines = match self.baseline {
            Some(baseline) => baseline == Baseline::Each,
            None => swept.iter().any(|swept| recipes::is_of_the_loss(&swept.key)),
        };
        let asked = Asked { swept, grid: self.grid, baselines };
        if self.validation == 0 {
            return Err(Error::Data("--validation 0: give at least 1".into()));
        }
        sweep::check(&starts, &asked)?;
        let (device, which) = self.common.compute.choose()?;
        let dataset = self.common.dataset()?;
        let held_out = HeldOut { queries: self.validation, seed: starts[0].config.run.seed };
        let dataset = sweep::hold_out(&dataset, held_out)?;
        note!("{which}");
        super::tell_notes(&dataset.notes);
        let stop = stop::on_signal("finishing this step and saving");
        let study = Study {
            out: &self.out,
            dataset: &dataset,
            name: "validation",
            held_out: Some(held_out),
            starts: &starts,
            runs: self.runs,
            device: &device,
            stop: &stop,
            observe: &super::progress::bar,
        };
        match sweep::run(&study, &asked, &|line| note!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                let has_plot = found.without_plot().is_none();
                super::say_lines(found)?;
                if has_plot {
                    super::say(format_args!("plot: {}", self.out.join("sweep.svg").display()))?;
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }

    /// The settings to sweep, in the order of the options, with the starts last.
    fn swept(&self, starts: &[Start]) -> Result<Vec<Swept>> {
        let named = [
            ("loss.batch_contrastive.weight", &self.lambda),
            ("loss.batch_contrastive.tau", &self.tau),
            ("loss.batch_contrastive.center_rate", &self.center_rate),
            ("loss.batch_contrastive.reduction", &self.reduction),
            ("loss.batch_contrastive.gradient", &self.gradient),
        ];
        let named = named.into_iter().filter(|(_, values)| !values.is_empty());
        let mut swept: Vec<Swept> =
            named.map(|(key, values)| Swept { key: key.into(), values: trimmed(values) }).collect();
        for text in &self.vary {
            swept.push(Swept::parse(text)?);
        }
        let names: Vec<String> = starts.iter().filter_map(|start| start.name.clone()).collect();
        if !names.is_empty() {
            swept.push(Swept { key: names::START.into(), values: names });
        }
        Ok(swept)
    }
}
