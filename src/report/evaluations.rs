//! The evaluations that runs have kept, by run and by data set.

use super::run::Run;
use crate::eval::Protocol;
use crate::eval::stored_evaluation::{self, StoredEvaluation};
use crate::run::Layout;
use crate::weights::NetworkFile;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Evaluations compared at a time, at most.
const MOST: usize = 64;

/// A kept evaluation and whose it is.
#[derive(Debug)]
pub struct Evaluation {
    /// The run's place among those compared.
    pub run: usize,
    /// What it kept.
    pub kept: StoredEvaluation,
    /// What must be said if it is not known to be of the run's result.
    pub note: Option<String>,
}

impl Evaluation {
    /// What its lists and pairs go by: the evaluation's own protocol, but with distances as they are before re-ranking.
    pub fn protocol(&self) -> Protocol {
        self.kept.report.protocol.before_reranking()
    }
}

/// The evaluations of a run, or those called one of `only`, by name. `run` is its place among those compared.
///
/// # Errors
/// Files of an evaluation that are not what they should be.
pub fn of_run(folder: &Path, run: usize, only: &[String]) -> Result<Vec<Evaluation>> {
    let folders = stored_evaluation::folders(folder)?;
    let wanted = |of: &&PathBuf| only.is_empty() || only.contains(&stored_evaluation::name_of_folder(of));
    let all: Vec<StoredEvaluation> =
        folders.iter().filter(wanted).map(|of| StoredEvaluation::read(of)).collect::<Result<_>>()?;
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let network = NetworkFile::open(&Layout::of(folder).weights()).ok().map(|file| file.fingerprint());
    let evaluation = |kept: StoredEvaluation| Evaluation { run, note: note(&kept, network.as_deref()), kept };
    Ok(all.into_iter().map(evaluation).collect())
}

/// What must be said of an evaluation, if `network` is what its run has come to.
fn note(kept: &StoredEvaluation, network: Option<&str>) -> Option<String> {
    let own = kept.query.origin().network.as_deref()?;
    match network {
        Some(network) if network == own => None,
        Some(_) => Some("These figures are of other weights than the run's result; evaluate again.".into()),
        None => Some(
            "The run's result, weights.safetensors, is not there or cannot be read: these figures may be of a checkpoint."
                .into(),
        ),
    }
}

/// All evaluations of all runs, or those called one of `only`: data set by data set in the order of their names, in each
/// the runs in their order.
///
/// # Errors
/// As [`of_run`]; a name that none has; more than 64 evaluations.
pub fn read_all(runs: &[Run], only: &[String]) -> Result<Vec<Evaluation>> {
    let mut all = Vec::new();
    for (run, of) in runs.iter().enumerate() {
        all.extend(of_run(&of.folder, run, only)?);
    }
    if let Some(unknown) = only.iter().find(|name| all.iter().all(|one| one.kept.name != **name)) {
        let mut names = BTreeSet::new();
        for run in runs {
            names.extend(
                stored_evaluation::folders(&run.folder)?
                    .iter()
                    .map(|folder| stored_evaluation::name_of_folder(folder)),
            );
        }
        return Err(Error::Run(format!(
            "--evaluation {unknown}: none of these runs keeps it; there is {}",
            if names.is_empty() { "none".into() } else { Vec::from_iter(names).join(", ") }
        )));
    }
    if all.len() > MOST {
        return Err(Error::Run(format!(
            "{} evaluations are kept by these runs, and at most {MOST} are compared at a time; choose with \
             --evaluation NAME, or give fewer runs",
            all.len()
        )));
    }
    all.sort_by(|a, b| a.kept.name.cmp(&b.kept.name).then(a.run.cmp(&b.run)));
    Ok(all)
}

/// As [`read_all`], but every run must have been evaluated.
///
/// # Errors
/// As [`read_all`]; a run without an evaluation, and how to get one.
pub fn require_all(runs: &[Run], only: &[String]) -> Result<Vec<Evaluation>> {
    let all = read_all(runs, only)?;
    match runs.iter().enumerate().find(|(run, _)| all.iter().all(|evaluation| evaluation.run != *run)) {
        Some((_, run)) => Err(Error::Run(format!(
            "{}: this run keeps no evaluation{}; make one with: {}",
            run.folder.display(),
            if only.is_empty() { String::new() } else { format!(" called {}", only.join(" or ")) },
            command(run)
        ))),
        None => Ok(all),
    }
}

/// What evaluates a run and keeps the result with it.
pub fn command(run: &Run) -> String {
    let folder = run.folder.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=@%,".contains(c);
    let folder = if !folder.is_empty() && folder.chars().all(plain) {
        folder
    } else {
        format!("'{}'", folder.replace('\'', "'\\''"))
    };
    format!("bcreid eval --run {folder} --data DIR")
}
