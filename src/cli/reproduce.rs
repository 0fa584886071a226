//! `bcreid reproduce`: the paper's tables.

use super::stop;
use super::study::{Common, trimmed};
use crate::eval::stored_evaluation;
use crate::study::published::{Benchmark, DUKEMTMC, MARKET1501};
use crate::study::{Study, reproduce};
use crate::{Result, note, tell};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Paper {
    /// The paper's table 1.
    Market1501,
    /// The paper's table 2.
    Dukemtmc,
}

/// Train the baseline and the full loss with several seeds, and compare the results with the paper's.
///
/// On the data set of the table, the paper's results stand beside ours, with the other methods' rows as quoted; on any
/// other set of that layout ours stand alone. With several reductions or starts, the table compares each combination.
/// Finished runs of an earlier call are not repeated.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The table to reproduce.
    #[arg(value_enum)]
    paper: Paper,
    /// Reductions of the loss over a batch to compare: mean, sum.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    reduction: Vec<String>,
    /// Number of runs of each configuration, with consecutive seeds.
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
        let starts = self.common.starts()?;
        let (device, which) = self.common.compute.choose()?;
        let dataset = self.common.dataset()?;
        note!("{which}");
        super::tell_notes(&dataset.notes);
        match reproduce::is_published(&dataset, benchmark) {
            Err(note) => tell!("{note}"),
            Ok(()) if starts.iter().all(|start| start.weights.is_none()) => {
                tell!("no --weights: these runs start from random weights, the paper's from ImageNet weights")
            }
            Ok(()) => {}
        }
        let stop = stop::on_signal("finishing this step and saving");
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
        match reproduce::run(&study, &trimmed(&self.reduction), benchmark, &|line| note!("{line}"))? {
            None => self.common.stopped(&self.out),
            Some(found) => {
                super::say_lines(found)?;
                super::say(format_args!("all figures: {}", self.out.join("result.json").display()))?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}
