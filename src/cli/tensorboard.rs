//! `bcreid tensorboard`: event files of runs.

use super::compute::Compute;
use crate::command_help::require_outside;
use crate::console::counted;
use crate::data;
use crate::eval::image_folders::ImageFolders;
use crate::eval::run_evaluations::Evaluation;
use crate::eval::{run_evaluations, stored_evaluation};
use crate::export::tensorboard::evaluation::Found;
use crate::export::tensorboard::projector;
use crate::export::tensorboard::{
    StepEvents, modified, seconds, write_events, write_provenance, write_validation,
};
use crate::files::{MIB, inside, read_text, write_atomically};
use crate::report::run;
use crate::run::{Layout, RunFolder, RunProvenance, metrics, validation};
use crate::{Error, Result, detail, tell};
use clap::Args;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

/// Write event files for TensorBoard: curves, and for evaluated runs distances and ranked lists.
///
/// A second call replaces the files of the first. All steps have the time at which the run's metrics.jsonl was last
/// written; bcreid train --tensorboard writes each step with its own time during training.
#[derive(Debug, Args)]
pub struct Tensorboard {
    /// The run folders.
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The folder to write to, with a sub-folder for each run (default: RUN/tensorboard).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show images of this folder in ranked lists too; may be repeated. Without it, images are read from the data set
    /// of the evaluation only. Images that have moved since the evaluation are searched in it by the end of their path.
    #[arg(long, value_name = "DIR")]
    images: Vec<PathBuf>,
    /// Also write the features of the evaluations for TensorBoard's projector, with their images: at most 2,000 images
    /// of each, some 45 MB for features of 2,048 values.
    #[arg(long)]
    projector: bool,
    #[command(flatten)]
    compute: Compute,
}

impl Tensorboard {
    /// Checks that the event files are not written between the images that this command reads.
    fn require_outside(&self, out: &Path, run: &Path) -> Result<()> {
        let evaluations = run_evaluations::of_run(run, 0, &[])?;
        let recorded = evaluations.iter().flat_map(|of| &of.kept.images).map(Path::new);
        // A stranger's evaluation may name any folder, such as `/`.
        let sets = recorded.filter(|folder| !data::Layout::test_folders(folder).is_empty());
        let shown = sets.map(|folder| ("the evaluation's images", folder));
        let given = self.images.iter().map(|folder| ("--images", folder.as_path()));
        require_outside(out, given.chain(shown))
    }

    pub fn run(self) -> Result<ExitCode> {
        super::require_folders(&self.images)?;
        let names = run::names(&self.runs);
        if let (Some(out), Some(i)) = (&self.out, (1..names.len()).find(|&i| names[..i].contains(&names[i])))
        {
            return Err(Error::Run(format!(
                "--out {}: two runs have the name {}; give each run once, or rename one of the run folders",
                out.display(),
                names[i]
            )));
        }
        if let Some(out) = &self.out {
            self.runs.iter().try_for_each(|run| self.require_outside(out, run))?;
        }
        for (run, name) in self.runs.iter().zip(names) {
            let mut events = StepEvents::new(run::Settings::read(run)?.reduction());
            let file = Layout::of(run).metrics();
            let steps = metrics::read(&file)?;
            let validations = validation::read(&Layout::of(run).validation())?;
            let evaluations = run_evaluations::of_run(run, 0, &[])?;
            // A training process may be writing the same file in the run folder.
            let (folder, _lock) = match &self.out {
                Some(out) => {
                    let folder = inside(out, relative(&name))?;
                    claim(&folder, run)?;
                    (folder, None)
                }
                None => {
                    let run = RunFolder::lock(run)?;
                    (run.make_tensorboard()?, Some(run))
                }
            };
            let provenance = RunProvenance::read(&Layout::of(run))?.unwrap_or_default().training;
            if self.projector {
                self.write_projector(run, &folder, &evaluations)?;
            }
            let found = self.found(run, evaluations)?;
            let (time, last) = (modified(&file)?, steps.last().map_or(0, |step| step.step));
            let written = write_events(&folder, time, |writer| {
                let time = seconds(time);
                write_provenance(writer, time, &provenance)?;
                steps.iter().try_for_each(|step| events.write(writer, time, step))?;
                validations.iter().try_for_each(|one| write_validation(writer, time, one))?;
                found.iter().try_for_each(|evaluation| evaluation.write(writer, time, last))
            })?;
            super::say(format_args!("{}", written.display()))?;
        }
        let shown = match &self.out {
            Some(out) => out.display().to_string(),
            None => self.runs[0].display().to_string(),
        };
        super::say(format_args!("to view the runs: tensorboard --logdir {shown}"))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes the features of a run's evaluations for the projector.
    fn write_projector(&self, run: &Path, folder: &Path, evaluations: &[Evaluation]) -> Result<()> {
        if evaluations.is_empty() {
            return Err(Error::Run(format!(
                "--projector: {} has no evaluation, and so no features to show; make one with: bcreid eval --run RUN \
                 --data DIR",
                run.display()
            )));
        }
        let mut written = Vec::new();
        for of in evaluations {
            let images = ImageFolders::new(&self.images, [&of.kept]);
            written.push(projector::write(folder, &of.kept, &images, &written)?);
        }
        let file = projector::write_config(folder, &written)?;
        let images = written.iter().map(|of| of.images).sum::<usize>();
        super::say(format_args!("{}: {}", file.display(), counted(images, "feature")))
    }

    /// The results of a run's stored evaluations.
    fn found(&self, run: &Path, evaluations: Vec<Evaluation>) -> Result<Vec<Found>> {
        if evaluations.is_empty() {
            return Ok(Vec::new());
        }
        let (device, which) = self.compute.choose()?;
        detail!("{which}");
        let mut all = Vec::new();
        for evaluation in evaluations {
            let name = evaluation.kept.name.clone();
            if let Some(note) = &evaluation.note {
                tell!("{}: evaluation {name}: {note}", run.display());
            }
            let folders = ImageFolders::new(&self.images, [&evaluation.kept]);
            let found = Found::new(evaluation, &folders, &device)?;
            found.notes().iter().for_each(|note| tell!("{}: evaluation {name}: {note}", run.display()));
            if found.lists() == 0 {
                tell!(
                    "{}: evaluation {name}: no ranked lists, because none of the images can be read; --images DIR \
                     names their folder",
                    run.display()
                );
            }
            all.push(found);
        }
        Ok(all)
    }
}

/// Writes the run's path into its folder of --out, or refuses a folder that holds the events of another run with the
/// same name.
fn claim(folder: &Path, run: &Path) -> Result<()> {
    let (note, run) = (folder.join("run.txt"), stored_evaluation::whole_path(run));
    match read_text(&note, MIB) {
        Ok(text) if text.trim_end() == run || text.is_empty() => Ok(()),
        Ok(text) => Err(Error::Run(format!(
            "{}: the folder holds the events of {}; give another --out, or remove the folder",
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

/// A run's name as a relative path without `..`, so that a join stays inside the folder.
fn relative(name: &str) -> PathBuf {
    Path::new(name).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}
