//! The stored evaluations of several runs, by run and by data set.

use super::run::Run;
use crate::eval::run_evaluations::{Evaluation, of_run};
use crate::eval::stored_evaluation;
use crate::{Error, Result, shell};
use std::collections::BTreeSet;
use std::path::Path;

/// Largest number of evaluations compared at a time.
const MOST: usize = 64;

/// Reads the evaluations of all runs, sorted by name and then by run; only those named in `only`, unless `only` is
/// empty.
///
/// # Errors
/// As [`of_run`]; a name in `only` that no evaluation has; more than 64 evaluations.
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
            "--evaluation {unknown}: none of these runs has this evaluation; {}",
            if names.is_empty() {
                "they have none".into()
            } else {
                format!("they have {}", Vec::from_iter(names).join(", "))
            }
        )));
    }
    if all.len() > MOST {
        return Err(Error::Run(format!(
            "these runs have {} evaluations, and at most {MOST} are compared at a time; choose with --evaluation NAME, \
             or give fewer runs",
            all.len()
        )));
    }
    all.sort_by(|a, b| a.kept.name.cmp(&b.kept.name).then(a.run.cmp(&b.run)));
    Ok(all)
}

/// As [`read_all`], but every run must have an evaluation.
///
/// # Errors
/// As [`read_all`]; a run without an evaluation; the error says how to make one.
pub fn require_all(runs: &[Run], only: &[String]) -> Result<Vec<Evaluation>> {
    let all = read_all(runs, only)?;
    match runs.iter().enumerate().find(|(run, _)| all.iter().all(|evaluation| evaluation.run != *run)) {
        Some((_, run)) => Err(Error::Run(format!(
            "{}: this run has no evaluation{}; make one with: {}",
            run.folder.display(),
            if only.is_empty() { String::new() } else { format!(" called {}", only.join(" or ")) },
            command(&run.folder.display().to_string())
        ))),
        None => Ok(all),
    }
}

/// Shell command that evaluates a run and stores the result in the run folder.
pub fn command(folder: &str) -> String {
    format!("bcreid eval --run {} --data DIR", shell::quoted(Path::new(folder)))
}
