//! The evaluations that runs have kept, by run and by data set.

use super::run::Run;
use crate::eval::kept::{self, Kept};
use crate::weights::NetworkFile;
use crate::{Error, Result};
use std::collections::BTreeSet;

/// Evaluations compared at a time, at most.
const MOST: usize = 64;

/// A kept evaluation and whose it is.
#[derive(Debug)]
pub struct Evaluation {
    /// The run's place among those compared.
    pub run: usize,
    /// What it kept.
    pub kept: Kept,
    /// Where the run has gone on since: what its figures are not of.
    pub note: Option<String>,
}

/// All evaluations of all runs, or those called one of `only`: data set by data set in the order of their names, in each
/// the runs in their order.
///
/// # Errors
/// Files of an evaluation that are not what they should be; a name that none has; more than 64 evaluations.
pub fn read_all(runs: &[Run], only: &[String]) -> Result<Vec<Evaluation>> {
    let mut all = Vec::new();
    for (run, of) in runs.iter().enumerate() {
        let evaluations = kept::read_all(&of.folder)?;
        let network = if evaluations.is_empty() { None } else { network(of) };
        all.extend(evaluations.into_iter().map(|kept| {
            let note = note(&kept, network.as_deref());
            Evaluation { run, kept, note }
        }));
    }
    if let Some(unknown) = only.iter().find(|name| all.iter().all(|one| one.kept.name != **name)) {
        let names: BTreeSet<&str> = all.iter().map(|one| one.kept.name.as_str()).collect();
        return Err(Error::Run(format!(
            "--evaluation {unknown}: none of these runs keeps it; there is {}",
            if names.is_empty() { "none".into() } else { names.into_iter().collect::<Vec<_>>().join(", ") }
        )));
    }
    all.retain(|one| only.is_empty() || only.contains(&one.kept.name));
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

/// The network that a run has come to, if its training has ended and its result can be read.
fn network(run: &Run) -> Option<String> {
    NetworkFile::open(&run.folder.join("weights.safetensors")).ok().map(|file| file.fingerprint())
}

/// What must be said where an evaluation is not of the run's result.
fn note(kept: &Kept, network: Option<&str>) -> Option<String> {
    let own = kept.query.origin().network.as_deref()?;
    match network {
        Some(network) if network == own => None,
        Some(_) => Some("These figures are of other weights than the run's result; evaluate again.".into()),
        None => Some("These figures are of a checkpoint; there is no result of this run yet.".into()),
    }
}

/// As [`read_all`], but every run must have been evaluated.
///
/// # Errors
/// As [`read_all`]; a run without an evaluation, and how to get one.
pub fn require_all(runs: &[Run], only: &[String]) -> Result<Vec<Evaluation>> {
    let all = read_all(runs, only)?;
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
