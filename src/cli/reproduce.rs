//! `bcreid reproduce`.

use super::stop;
use super::study::{Common, trimmed};
use crate::data::Dataset;
use crate::eval::stored_evaluation;
use crate::study::published::{Benchmark, DUKEMTMC, MARKET1501};
use crate::study::{Study, reproduce};
use crate::{Result, tell};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

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
/// other set of that layout ours stands alone. With several reductions or starts, each combination has its comparison
/// in one table. What is there from an earlier call is not computed again.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// Whose table.
    #[arg(value_enum)]
    paper: Paper,
    /// How the loss is summed up over a batch, to compare: mean, sum.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    reduction: Vec<String>,
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
        let starts = self.common.starts()?;
        tell!("{which}");
        dataset.notes.iter().for_each(|note| tell!("{note}"));
        match reproduce::is_published(&dataset, benchmark) {
            Err(note) => tell!("{note}"),
            Ok(()) if starts.iter().all(|start| start.weights.is_none()) => {
                tell!("no --weights: the paper starts from ImageNet's, and these runs will not")
            }
            Ok(()) => {}
        }
        let stop = stop::on_interrupt("finishing this step and saving")?;
        let study = Study {
            out: &self.out,
            dataset: &dataset,
            name: &stored_evaluation::name_of(&dataset.root),
            held_out: None,
            starts: &starts,
            runs: self.runs,
            device: &device,
            stop: &stop,
            observe: &super::progress::bar,
        };
        match reproduce::run(&study, &trimmed(&self.reduction), benchmark, &|line| tell!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                super::say(found)?;
                super::say(format_args!("all figures: {}", self.out.join("result.json").display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
