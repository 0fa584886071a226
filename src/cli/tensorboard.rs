//! `bcreid tensorboard`.

use super::compute::Compute;
use crate::eval::{run_evaluations, stored_evaluation};
use crate::export::tensorboard::evaluation::Found;
use crate::export::tensorboard::{StepEvents, modified, seconds, write_events};
use crate::files::{MIB, read_text, write_atomically};
use crate::report::run;
use crate::run::{Layout, RunFolder, metrics};
use crate::{Error, Result, tell};
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
        let names = run::names(&self.runs);
        if let (Some(out), Some(i)) = (&self.out, (1..names.len()).find(|&i| names[..i].contains(&names[i])))
        {
            return Err(Error::Run(format!(
                "{}: two runs would be called {} in it; give each once, or rename one",
                out.display(),
                names[i]
            )));
        }
        for (run, name) in self.runs.iter().zip(names) {
            let file = Layout::of(run).metrics();
            let steps = metrics::read(&file)?;
            let mut events = StepEvents::new(run::Settings::read(run)?.reduction());
            // Inside the run's folder a process that trains may be writing the same file.
            let (folder, _lock) = match &self.out {
                Some(out) => {
                    let folder = out.join(relative(&name));
                    claim(&folder, run)?;
                    (folder, None)
                }
                None => {
                    let run = RunFolder::lock(run)?;
                    (run.tensorboard(), Some(run))
                }
            };
            let found = self.found(run)?;
            let (time, last) = (modified(&file)?, steps.last().map_or(0, |step| step.step));
            let written = write_events(&folder, time, |writer| {
                let time = seconds(time);
                steps.iter().try_for_each(|step| events.write(writer, time, step))?;
                found.iter().try_for_each(|evaluation| evaluation.write(writer, time, last))
            })?;
            super::say(format_args!("{}", written.display()))?;
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
        let evaluations = run_evaluations::of_run(run, 0, &[])?;
        if evaluations.is_empty() {
            return Ok(Vec::new());
        }
        let (device, which) = self.compute.choose()?;
        tell!("{which}");
        let mut all = Vec::new();
        for evaluation in evaluations {
            let name = evaluation.kept.name.clone();
            if let Some(note) = &evaluation.note {
                tell!("{}: evaluation {name}: {note}", run.display());
            }
            let found = Found::new(evaluation, &device)?;
            if found.lists() == 0 {
                tell!(
                    "{}: evaluation {name}: its images are not where they were, so that no ranked list is shown",
                    run.display()
                );
            }
            all.push(found);
        }
        Ok(all)
    }
}

/// Notes in a folder of --out whose events it holds, or refuses it if they are another run's of the same name.
fn claim(folder: &Path, run: &Path) -> Result<()> {
    let (note, run) = (folder.join("run.txt"), stored_evaluation::whole_path(run));
    match read_text(&note, MIB) {
        Ok(text) if text.trim_end() == run || text.is_empty() => Ok(()),
        Ok(text) => Err(Error::Run(format!(
            "{}: holds the events of {}; give another --out, or remove that folder",
            folder.display(),
            text.trim_end()
        ))),
        Err(e) if e.is_missing_file() => {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
            write_atomically(&note, |writer| writeln!(writer, "{run}"))
        }
        Err(e) => Err(e),
    }
}

/// A run's name as a path that stays inside the folder it is joined to.
fn relative(name: &str) -> PathBuf {
    Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}
