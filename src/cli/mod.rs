//! The command line: one file for each subcommand, which parses its arguments and calls the library.
//! Needs the feature `cli`.

mod activations;
mod bench;
mod completions;
mod compute;
mod config;
mod counter;
mod data;
mod demo;
mod doctor;
mod eval;
mod export;
mod extract;
mod features;
mod learn;
mod man;
mod output;
mod plot;
mod progress;
mod query;
mod ranks;
mod remedy;
mod report;
mod reproduce;
mod runs;
mod settings;
mod shard;
mod stop;
mod study;
mod sweep;
mod synth;
mod tensorboard;
mod train;
mod trained;
mod usage;

pub use remedy::explain;

use crate::command_help::{require_new, require_other};
use crate::console::{self, Verbosity, counted, say, say_lines};
use crate::device::cpu;
use crate::error::excerpt;
use crate::export::features::{self as features_of_others, Format};
use crate::run::Layout;
use crate::run::weight_file;
use crate::weights::{Features, NetworkFile};
use crate::{Error, Result, note, shell, tell};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The end of `--help` and of the manual page.
const EXIT_STATUS: &str = "Exit status: 0 success; 1 an error, told in one line; 2 unknown or missing arguments; 129, 130 or 143 \
                           after a hang-up, Ctrl-C or a termination (128 plus the signal's number), with the work saved \
                           where a command can resume.";

/// Person re-identification with the batch-contrastive loss.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// Number of computing threads (default: the cores that this process may use, by its CPU affinity and the quota of
    /// its control group).
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
    /// Print results, warnings and errors only: no notes and no progress.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Also print the choice of the device, saved checkpoints and the time of each part.
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Synth(synth::Synth),
    Train(train::Train),
    Extract(extract::Extract),
    Features(features::Features),
    Eval(eval::Eval),
    Query(query::Query),
    Activations(activations::Activations),
    Export(export::Export),
    Plot(plot::Plot),
    Report(report::Report),
    Runs(runs::Runs),
    Reproduce(reproduce::Reproduce),
    Sweep(sweep::Sweep),
    Tensorboard(tensorboard::Tensorboard),
    Config(config::Config),
    Bench(bench::Bench),
    Doctor(doctor::Doctor),
    Learn(learn::Learn),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the program with its command line, whose first item is the program's name, and prints its error. A faulty
/// command line, `--help` and `--version` end the process.
pub fn main(line: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line: Vec<OsString> = line.into_iter().collect();
    let arguments =
        Arguments::try_parse_from(&line).unwrap_or_else(|error| usage::fault(error, &line).exit());
    match arguments.run() {
        Ok(code) => code,
        Err(error) => {
            tell!("bcreid: {}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// Runs the subcommand and returns the exit status.
    ///
    /// # Errors
    /// An error to be shown by [`explain`].
    pub fn run(self) -> Result<ExitCode> {
        stop::listen()?;
        console::set_verbosity(match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        });
        cpu::isa::requested()?;
        if let Some(threads) = self.threads {
            cpu::threads::start(threads)?;
        }
        let is_shared = matches!(self.command, Command::Train(_) | Command::Extract(_) | Command::Eval(_));
        ranks::prepare(is_shared, self.threads)?;
        // The command runs on a thread of the rayon pool: calls from outside the pool cost two context switches for
        // each operation, a quarter of the time of a small network's step.
        rayon::scope(|_| match self.command.run() {
            Ok(code) => {
                ranks::finish();
                Ok(code)
            }
            Err(error) => Err(ranks::fail(error)),
        })
    }
}

impl Command {
    fn run(self) -> Result<ExitCode> {
        match self {
            Command::Demo(demo) => demo.run(),
            Command::Synth(synth) => synth.run(),
            Command::Train(train) => train.run(),
            Command::Extract(extract) => extract.run(),
            Command::Features(features) => features.run(),
            Command::Eval(eval) => eval.run(),
            Command::Query(query) => query.run(),
            Command::Activations(activations) => activations.run(),
            Command::Export(export) => export.run(),
            Command::Plot(plot) => plot.run(),
            Command::Report(report) => report.run(),
            Command::Runs(runs) => runs.run(),
            Command::Reproduce(reproduce) => reproduce.run(),
            Command::Sweep(sweep) => sweep.run(),
            Command::Tensorboard(tensorboard) => tensorboard.run(),
            Command::Config(config) => config.run(),
            Command::Bench(bench) => bench.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Learn(learn) => learn.run(),
            Command::Completions(completions) => completions.run(),
            Command::Man(man) => man.run(),
        }
    }
}

/// The network of a weight file or of a run: its result, or its newest checkpoint with a note.
fn open_network(weights: &Path) -> Result<NetworkFile> {
    let (file, note) = weight_file(weights)?;
    if let Some(text) = note {
        note!("{text}");
    }
    NetworkFile::open(&file)
}

/// Prints the notes of a data set or of an output; with --quiet only the warnings among them.
fn tell_notes<'a>(notes: impl IntoIterator<Item = &'a String>) {
    for text in notes {
        match text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("warning:")) {
            true => tell!("{text}"),
            false => note!("{text}"),
        }
    }
}

/// Checks the folders of --images.
fn require_folders(folders: &[PathBuf]) -> Result<()> {
    match folders.iter().find(|folder| !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => Err(Error::Data(format!(
            "--images {}: not a folder; give a folder of images, such as the data set's",
            folder.display()
        ))),
    }
}

/// Checks that the images of an option are there.
fn require_images<'a>(option: &str, images: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
    let is_missing = |image: &&PathBuf| {
        std::fs::metadata(image).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    match images.into_iter().find(is_missing) {
        None => Ok(()),
        Some(image) => Err(Error::Data(format!("{option} {}: no such file; give an image", image.display()))),
    }
}

/// Reads features for an evaluation or a query: a file of this program, or a .npy with its .csv.
fn read_features(path: &Path) -> Result<Features> {
    if path.is_dir() {
        return Err(Error::Data(format!(
            "{}: a folder; features are in a file: bcreid extract --weights RUN --images {} --out FILE.safetensors",
            path.display(),
            shell::quoted(path)
        )));
    }
    match path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy")) {
        true => features_of_others::read(path),
        false => Features::read(path),
    }
}

/// Checks before the extraction that features can be written to `out`: a known extension, an existing folder, no
/// existing file, none of the `inputs`, of which a run folder stands for its weights.
fn require_room_for_features(out: &Path, force: bool, inputs: &[&Path]) -> Result<()> {
    let files = Format::of(out)?.files(out);
    output::require_parent(out)?;
    let weights: Vec<PathBuf> = inputs.iter().map(|input| Layout::of(input).weights()).collect();
    for file in &files {
        require_other(file, inputs.iter().copied().chain(weights.iter().map(PathBuf::as_path)))?;
        require_new(file, force)?;
    }
    Ok(())
}

/// Prints the names of the written feature files and their size.
fn say_features(features: &Features, out: &Path) -> Result<()> {
    let files: Vec<String> =
        Format::of(out)?.files(out).iter().map(|file| file.display().to_string()).collect();
    let (rows, values) = (counted(features.len(), "feature"), counted(features.dim(), "value"));
    let layer = match features.origin().layer.as_deref() {
        None => String::new(),
        Some(layer) => format!(", layer {}", excerpt(layer, 40)),
    };
    say(format_args!("{}: {rows} of {values}{layer}", files.join(", ")))
}
