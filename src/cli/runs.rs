//! `bcreid runs`: a list of runs with their states and results.

use super::output::Json;
use crate::console::counted;
use crate::error::printable;
use crate::eval::{run_evaluations, stored_evaluation};
use crate::files::is_locked;
use crate::run::folder::read_config;
use crate::run::validation::{self, Validation};
use crate::run::{Layout, checkpoint, metrics, search};
use crate::{Error, Result, note, shell, tell};
use clap::Args;
use comfy_table::{CellAlignment, presets};
use serde::Serialize;
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// List runs: state, network, losses and results of the stored evaluations; or delete an evaluation.
#[derive(Debug, Args)]
pub struct Runs {
    /// Run folders, or folders that hold some.
    #[arg(value_name = "DIR", default_value = ".")]
    folders: Vec<PathBuf>,
    /// Delete the stored evaluation of this name from the run DIR: its features and figures. The run itself stays.
    #[arg(long, value_name = "NAME", conflicts_with = "json")]
    delete_evaluation: Option<String>,
    #[command(flatten)]
    json: Json,
}

/// A run in the list.
#[derive(Debug, Serialize)]
struct Run {
    run: String,
    state: State,
    /// Finished steps, by the newest checkpoint.
    done: u64,
    iterations: u64,
    network: String,
    loss: String,
    /// The best evaluation during training, whose weights are best.safetensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<Validation>,
    evaluations: Vec<Evaluation>,
}

/// The figures of a stored evaluation, as shares.
#[derive(Debug, Serialize)]
struct Evaluation {
    name: String,
    rank1: f64,
    map_market: f64,
    /// Warning that the figures are not those of the run's result.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Another process trains it.
    Running,
    /// All iterations are done, or the run ended early.
    Finished,
    /// It can be resumed.
    Stopped,
    /// Its last loss is not finite.
    Diverged,
    /// Without a checkpoint.
    Empty,
}

impl Runs {
    pub fn run(mut self) -> Result<ExitCode> {
        if let Some(name) = &self.delete_evaluation {
            return delete(&self.folders, name);
        }
        self.json.prepare([])?;
        let mut found = Vec::new();
        for folder in &self.folders {
            let below = search::below(folder)?;
            found.extend(below.runs);
            if !below.is_complete {
                let most = search::MOST_FOLDERS;
                tell!("{}: only its first {most} folders were searched for runs", folder.display());
            }
        }
        // A folder may be given beside one that holds it.
        let mut seen = HashSet::new();
        found.retain(|folder| seen.insert(folder.clone()));
        let (mut runs, mut damaged) = (Vec::new(), 0);
        for folder in &found {
            match read(folder) {
                Ok(run) => runs.push(run),
                Err(error) => {
                    damaged += 1;
                    tell!("not listed: {}", super::explain(&error));
                }
            }
        }
        if runs.is_empty() && damaged == 0 {
            let all: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
            return Err(Error::Run(format!(
                "{}: no run (a folder with config.toml and checkpoints) in it or in {} levels below; give the \
                 folder of a run that bcreid train made",
                all.join(", "),
                search::DEPTH
            )));
        }
        self.json.write(&runs)?;
        if !self.json.is_printed() {
            super::say_lines(Table(&runs))?;
            let noted = |run: &Run, of: &Evaluation| {
                of.note.iter().for_each(|text| tell!("{}: evaluation {}: {text}", run.run, of.name));
            };
            runs.iter().for_each(|run| run.evaluations.iter().for_each(|of| noted(run, of)));
            for run in runs.iter().filter(|run| run.state == State::Finished && run.evaluations.is_empty()) {
                note!(
                    "{}: not evaluated; bcreid eval --run {} --data DIR",
                    run.run,
                    shell::quoted(Path::new(&run.run))
                );
            }
        }
        Ok(if damaged == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn delete(folders: &[PathBuf], name: &str) -> Result<ExitCode> {
    let [run] = folders else {
        return Err(Error::Run("--delete-evaluation NAME: give one run".into()));
    };
    // A folder that is no run is not changed.
    read_config(run)?;
    stored_evaluation::delete(run, name)?;
    super::say(format_args!("deleted the evaluation {name} of {}", run.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn read(folder: &Path) -> Result<Run> {
    let config = read_config(folder)?;
    let layout = Layout::of(folder);
    let (newest, iterations) = (checkpoint::newest_step(&layout.checkpoints())?, config.solver.iterations);
    let diverged = || {
        let last = metrics::read_last(&layout.metrics()).ok().flatten();
        last.is_some_and(|last| last.loss.is_none_or(|loss| !loss.is_finite()))
    };
    let validations = validation::read(&layout.validation())?;
    let ended_early = |done: u64| {
        let is_newest = validations.last().is_some_and(|last| last.iterations == done);
        is_newest && validation::is_exhausted(&validations, config.run.patience)
    };
    let state = match newest {
        _ if is_locked(&layout.lock()) => State::Running,
        Some(done) if (done >= iterations || ended_early(done)) && layout.weights().is_file() => {
            State::Finished
        }
        _ if diverged() => State::Diverged,
        Some(_) => State::Stopped,
        None => State::Empty,
    };
    let evaluations = run_evaluations::of_run(folder, 0, &[])?.into_iter().map(|of| Evaluation {
        rank1: of.kept.report.rank1,
        map_market: of.kept.report.map_market,
        name: of.kept.name,
        note: of.note,
    });
    Ok(Run {
        run: folder.display().to_string(),
        state,
        done: newest.unwrap_or(0),
        iterations,
        network: config.model.describe(),
        loss: config.loss.describe(),
        best: validation::read_best(&layout)?.filter(|_| layout.best().is_file()),
        evaluations: evaluations.collect(),
    })
}

/// The list as a table: a line for each run and evaluation.
struct Table<'a>(&'a [Run]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["run", "state", "iterations", "network", "evaluation", "rank-1", "mAP"]);
        for run in self.0 {
            let steps = match run.state {
                State::Finished if run.done >= run.iterations => run.iterations.to_string(),
                State::Finished => format!("{} of {}, ended early", run.done, run.iterations),
                _ => format!("{} of {}", run.done, run.iterations),
            };
            let state = serde_json::json!(run.state).as_str().unwrap_or_default().to_string();
            let mut first = [printable(&run.run), state, steps, run.network.clone()];
            let percent = |share: f64| format!("{:.2}", 100.0 * share);
            let best = run.best.as_ref().and_then(|best| Some((best, [best.rank1?, best.map_market?])));
            if run.evaluations.is_empty() && best.is_none() {
                table.add_row(first.iter().cloned().chain(["none", "", ""].map(String::from)));
            }
            for evaluation in &run.evaluations {
                let figures = [evaluation.rank1, evaluation.map_market].map(percent);
                let name = printable(&evaluation.name);
                table.add_row(first.iter().cloned().chain([name]).chain(figures));
                // The next lines are of the same run.
                first = Default::default();
            }
            if let Some((best, figures)) = best {
                let name = format!("best in training, at {}", best.iterations);
                table.add_row(first.into_iter().chain([name]).chain(figures.map(percent)));
            }
        }
        for column in [2, 5, 6] {
            let column = table.column_mut(column).expect("the header has seven columns");
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        write!(f, "{}; figures in percent.", counted(self.0.len(), "run"))
    }
}
