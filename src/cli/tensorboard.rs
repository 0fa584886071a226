//! `bcreid tensorboard`.

use super::compute::Compute;
use crate::Result;
use crate::eval::kept;
use crate::export::tensorboard::evaluation::Found;
use crate::export::tensorboard::{modified, seconds, write_events, write_step};
use crate::report::{run, steps};
use crate::train::run_folder::RunFolder;
use clap::Args;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Write runs for TensorBoard: curves, and of evaluated runs distances and ranked lists.
///
/// Writing again replaces what was written before. Steps bear the time at which the run's metrics.jsonl was last written;
/// bcreid train --tensorboard writes them with their own times, while it trains.
#[derive(Debug, Args)]
pub struct Tensorboard {
    /// The runs' folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The folder to write into, a folder in it for each run (default: RUN/tensorboard).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

impl Tensorboard {
    pub fn run(self) -> Result<ExitCode> {
        for (run, name) in self.runs.iter().zip(run::names(&self.runs)) {
            let metrics = run.join("metrics.jsonl");
            let steps = steps::read(&metrics)?;
            // Inside the run's folder a process that trains may be writing the same file.
            let (folder, _lock) = match &self.out {
                Some(out) => (out.join(relative(&name)), None),
                None => {
                    let run = RunFolder::lock(run)?;
                    (run.tensorboard(), Some(run))
                }
            };
            let found = self.found(run)?;
            let (time, last) = (modified(&metrics)?, steps.last().map_or(0, |step| step.step));
            let file = write_events(&folder, time, |writer| {
                let time = seconds(time);
                steps.iter().try_for_each(|step| write_step(writer, time, step))?;
                found.iter().try_for_each(|evaluation| evaluation.write(writer, time, last))
            })?;
            super::say(format_args!("{}", file.display()))?;
        }
        let shown = match &self.out {
            Some(out) => out.display().to_string(),
            None => self.runs[0].display().to_string(),
        };
        super::say(format_args!("look at it with: tensorboard --logdir {shown}"))?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the evaluations that a run keeps have found.
    fn found(&self, run: &Path) -> Result<Vec<Found>> {
        let evaluations = kept::read_all(run)?;
        if evaluations.is_empty() {
            return Ok(Vec::new());
        }
        let (device, which) = self.compute.choose()?;
        eprintln!("{which}");
        let mut all = Vec::new();
        for kept in evaluations {
            let name = kept.name.clone();
            let found = Found::new(kept, &device)?;
            if found.lists() == 0 {
                eprintln!(
                    "{}: evaluation {name}: its images are not where they were, so that no ranked list is shown",
                    run.display()
                );
            }
            all.push(found);
        }
        Ok(all)
    }
}

/// A run's name as a path that stays inside the folder it is joined to.
fn relative(name: &str) -> PathBuf {
    Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}
