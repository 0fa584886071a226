//! `bcreid sweep`.

use super::stop;
use super::study::Common;
use crate::data::Dataset;
use crate::study::sweep::Swept;
use crate::study::{Study, sweep};
use crate::{Error, Result, tell};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Try values of lambda, tau and the centers' rate, on persons of the training part that are held out.
///
/// Each is varied with the others as in the settings. What is there from an earlier call is not computed again.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Weights of the batch-contrastive loss.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    lambda: Vec<String>,
    /// Margins of its hinge.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    tau: Vec<String>,
    /// Rates of the class centers: numbers, or tied.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    center_rate: Vec<String>,
    /// Runs of each value, with seeds that count up.
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    /// Images that ask, of persons who are held out (the paper looked at 100 images).
    #[arg(long, value_name = "N", default_value_t = 100)]
    validation: usize,
    /// The folder of all runs, the table and the plot.
    #[arg(long, value_name = "DIR", default_value = "sweep")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Sweep {
    pub fn run(self) -> Result<ExitCode> {
        let swept =
            [("loss.lambda", &self.lambda), ("loss.tau", &self.tau), ("loss.center_rate", &self.center_rate)];
        let swept = swept.into_iter().filter(|(_, values)| !values.is_empty());
        let trimmed = |values: &[String]| values.iter().map(|value| value.trim().to_string()).collect();
        let swept: Vec<Swept> = swept.map(|(key, values)| Swept { key, values: trimmed(values) }).collect();
        if swept.is_empty() {
            return Err(Error::Config(
                "nothing to sweep; give values, for example --lambda 0,0.1,1,10 or --tau 0.3,1".into(),
            ));
        }
        if self.validation == 0 {
            return Err(Error::Data("--validation 0: give at least 1 image".into()));
        }
        let (device, which) = self.common.compute.choose()?;
        let weights = self.common.weights()?;
        let config = self.common.config(weights.as_ref())?;
        let dataset = Dataset::open(&self.common.data)?;
        let dataset = sweep::hold_out(&dataset, self.validation, config.run.seed)?;
        tell!("{which}");
        dataset.notes.iter().for_each(|note| tell!("{note}"));
        let stop = stop::on_interrupt("finishing this step and saving")?;
        let study = Study {
            out: &self.out,
            dataset: &dataset,
            name: "validation",
            weights: weights.as_ref(),
            runs: self.runs,
            device: &device,
            stop: &stop,
        };
        match sweep::run(&study, &config, &swept, &|line| tell!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                super::say(found)?;
                super::say(format_args!("plot: {}", self.out.join("sweep.svg").display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
