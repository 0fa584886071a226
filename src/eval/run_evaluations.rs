//! The evaluations that a run keeps, each with what must be said if it is not known to be of the run's result.

use super::Protocol;
use super::stored_evaluation::{self, StoredEvaluation};
use crate::Result;
use crate::run::Layout;
use crate::weights::NetworkFile;
use std::path::{Path, PathBuf};

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
            "The run's result, weights.safetensors, is not there or cannot be read: these figures may be of a \
             checkpoint."
                .into(),
        ),
    }
}
