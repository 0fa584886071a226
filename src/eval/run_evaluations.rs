//! The stored evaluations of a run, each with a warning if the evaluation is not known to be of the run's result.

use super::Protocol;
use super::stored_evaluation::{self, StoredEvaluation};
use crate::Result;
use crate::run::Layout;
use crate::weights::NetworkFile;
use std::path::{Path, PathBuf};

/// A stored evaluation and its run.
#[derive(Debug)]
pub struct Evaluation {
    /// Index of the run among those compared.
    pub run: usize,
    /// The stored evaluation.
    pub kept: StoredEvaluation,
    /// Warning if the evaluation is not known to be of the run's result.
    pub note: Option<String>,
}

impl Evaluation {
    /// Protocol of the lists and pairs: that of the evaluation, but with the distances before re-ranking.
    pub fn protocol(&self) -> Protocol {
        self.kept.report.protocol.before_reranking()
    }
}

/// Reads the evaluations of a run, sorted by name; only those named in `only`, unless `only` is empty. `run` is the
/// index of the run among those compared.
///
/// # Errors
/// Damaged files of an evaluation.
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

/// Warning for an evaluation whose network is not known to be `network`, the fingerprint of the run's result.
fn note(kept: &StoredEvaluation, network: Option<&str>) -> Option<String> {
    let own = kept.query.origin().network.as_deref()?;
    match network {
        Some(network) if network == own => None,
        Some(_) => Some("These figures are of other weights than the run's result; evaluate again.".into()),
        None => Some(
            "The run's result, weights.safetensors, is missing or cannot be read: these figures may be of a checkpoint."
                .into(),
        ),
    }
}
