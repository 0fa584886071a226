//! `bcreid reproduce` and `bcreid sweep`.

use super::compute::Compute;
use super::stop;
use crate::config::Config;
use crate::data::Dataset;
use crate::eval::kept;
use crate::study::published::{Benchmark, DUKEMTMC, MARKET1501};
use crate::study::sweep::Swept;
use crate::study::{Study, reproduce, sweep};
use crate::weights::NetworkFile;
use crate::{Error, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// What the runs of a study have in common.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Data set: a Market-1501 or DukeMTMC-reID folder, or one with train.csv.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Weights to start from (the paper: ImageNet's, through bcreid-convert); without it random ones.
    #[arg(long, value_name = "F.safetensors")]
    weights: Option<PathBuf>,
    /// Settings in a TOML file; without it the paper's.
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
    /// One setting, on top of the file; may be repeated. run.seed is the first seed.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    #[command(flatten)]
    compute: Compute,
}

impl Common {
    fn weights(&self) -> Result<Option<NetworkFile>> {
        self.weights.as_deref().map(NetworkFile::open).transpose()
    }

    fn config(&self, weights: Option<&NetworkFile>) -> Result<Config> {
        Config::resolve_for(weights.map(NetworkFile::config), self.config.as_deref(), &self.settings)
    }

    /// What to say when a study was stopped.
    fn stopped(&self, out: &std::path::Path) -> Result<ExitCode> {
        super::say(format_args!(
            "stopped, all saved in {}; the same command goes on where it was",
            out.display()
        ))?;
        Ok(ExitCode::from(stop::INTERRUPTED))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Paper {
    /// Table 1.
    Market1501,
    /// Table 2.
    Dukemtmc,
}

/// Train baseline and full loss with several seeds, and put the results beside the paper's.
///
/// On the data set that is named, the paper's table stands beside ours, with the other methods' rows as quoted; on any
/// other set of that layout ours stands alone. What is there from an earlier call is not computed again.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// Whose table.
    #[arg(value_enum)]
    paper: Paper,
    /// Runs of each, with seeds that count up.
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// The folder of all runs and the result.
    #[arg(long, value_name = "DIR", default_value = "reproduce")]
    out: PathBuf,
    #[command(flatten)]
    common: Common,
}

impl Reproduce {
    pub fn run(self) -> Result<ExitCode> {
        let benchmark: &Benchmark = match self.paper {
            Paper::Market1501 => &MARKET1501,
            Paper::Dukemtmc => &DUKEMTMC,
        };
        let (device, which) = self.common.compute.choose()?;
        let dataset = Dataset::open(&self.common.data)?;
        let weights = self.common.weights()?;
        let config = self.common.config(weights.as_ref())?;
        eprintln!("{which}");
        match (reproduce::is_published(&dataset, benchmark), &weights) {
            (Err(note), _) => eprintln!("{note}"),
            (Ok(()), None) => {
                eprintln!("no --weights: the paper starts from ImageNet's, and these runs will not")
            }
            (Ok(()), Some(_)) => {}
        }
        let stop = stop::on_interrupt("finishing this step and saving")?;
        let study = Study {
            out: &self.out,
            dataset: &dataset,
            name: &kept::name_of(&dataset.root),
            weights: weights.as_ref(),
            runs: self.runs,
            device: &device,
            stop: &stop,
        };
        match reproduce::run(&study, &config, benchmark, &|line| eprintln!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                super::say(found)?;
                super::say(format_args!("all figures: {}", self.out.join("result.json").display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

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
        eprintln!("{which}");
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
        match sweep::run(&study, &config, &swept, &|line| eprintln!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                super::say(found)?;
                super::say(format_args!("plot: {}", self.out.join("sweep.svg").display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
