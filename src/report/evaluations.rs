//! The evaluations that runs have kept, by run and by data set.

use super::run::Run;
use crate::eval::kept::{self, Kept};
use crate::{Error, Result};

/// Evaluations compared at a time, at most.
const MOST: usize = 64;

/// A kept evaluation and whose it is.
#[derive(Debug)]
pub struct Evaluation {
    /// The run's place among those compared.
    pub run: usize,
    /// What it kept.
    pub kept: Kept,
}

/// All evaluations of all runs: data set by data set in the order of their names, in each the runs in their order.
///
/// # Errors
/// Files of an evaluation that are not what they should be; more than 64 evaluations.
pub fn read_all(runs: &[Run]) -> Result<Vec<Evaluation>> {
    let mut all = Vec::new();
    for (run, of) in runs.iter().enumerate() {
        all.extend(kept::read_all(&of.folder)?.into_iter().map(|kept| Evaluation { run, kept }));
    }
    if all.len() > MOST {
        return Err(Error::Run(format!(
            "{} evaluations are kept by these runs, and at most {MOST} are compared at a time; give fewer runs",
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
pub fn require_all(runs: &[Run]) -> Result<Vec<Evaluation>> {
    let all = read_all(runs)?;
    match runs.iter().enumerate().find(|(run, _)| all.iter().all(|evaluation| evaluation.run != *run)) {
        Some((_, run)) => Err(Error::Run(format!(
            "{}: this run keeps no evaluation; make one with: {}",
            run.folder.display(),
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
