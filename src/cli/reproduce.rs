//! `bcreid reproduce`: the paper's tables.

use super::settings::Settings;
use super::stop;
use super::study::{Common, trimmed};
use crate::eval::stored_evaluation;
use crate::study::methods::{self, Method};
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

/// Train the baseline and the full loss, or the given methods, with several seeds, and compare with the paper's results.
///
/// On the data set of the table, the paper's results stand beside ours, with the other methods' rows as quoted; on any
/// other set of that layout ours stand alone. With several reductions or starts, the table compares each combination.
/// Finished runs of an earlier call are not repeated.
///
/// --methods trains recipes (bcreid config --recipes) or files of settings in place of baseline and full loss. The
/// settings of a method are those of its recipe; --config and --set replace them for all methods.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The table to reproduce.
    #[arg(value_enum)]
    paper: Paper,
    /// Reductions of the loss over a batch to compare: mean, sum.
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with = "methods")]
    reduction: Vec<String>,
    /// Methods to compare: recipes by name, files of settings, or NAME=FILE.
    #[arg(long, value_name = "A,B,...", value_delimiter = ',')]
    methods: Vec<String>,
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
        let methods = Method::several(&self.methods)?;
        let starts = match methods.first() {
            Some(first) => self.common.starts(Some(&first.file)).map_err(|error| first.named(error))?,
            None => self.common.starts(None)?,
        };
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
        let say = |line: &str| note!("{line}");
        let found = if methods.is_empty() {
            let found = reproduce::run(&study, &trimmed(&self.reduction), benchmark, &say)?;
            found.map(|found| found.to_string())
        } else {
            let Settings { files, settings } = &self.common.settings;
            let found = methods::run(&study, &methods, files, settings, benchmark, &say)?;
            found.map(|found| found.to_string())
        };
        let Some(found) = found else { return self.common.stopped(&self.out) };
        super::say_lines(found)?;
        super::say(format_args!("all figures: {}", self.out.join("result.json").display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
