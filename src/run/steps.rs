//! What a run wrote down of its steps: `metrics.jsonl`, read with care.

use super::metrics::{LONGEST_LINE, Line, Numbered, read_line};
use crate::files;
use crate::{Error, Result};
use serde::Deserialize;
use std::io::BufReader;
use std::path::Path;

/// More steps are not read: they take 100 bytes each.
const MAX_STEPS: usize = 4_000_000;

/// One step, as [`Line`] wrote it. A value is absent where the batch had no such pair,
/// and where it was NaN or infinite (the last step of a run that diverged).
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Step {
    /// The step, from 0.
    pub step: u64,
    /// The total loss, equation (9).
    pub loss: Option<f32>,
    /// The softmax loss, equation (2).
    pub softmax: Option<f32>,
    /// Pairs of one identity in the batch loss, equation (3).
    pub positive: Option<f32>,
    /// The hinge of the batch loss, equation (3).
    pub hinge: Option<f32>,
    /// The center loss, equation (4).
    pub center: Option<f32>,
    /// Learning rate of the weights.
    pub rate: Option<f32>,
    /// Weight of the batch-contrastive loss.
    pub lambda: Option<f32>,
    /// Mean distance between images of one identity.
    pub intra: Option<f32>,
    /// Mean distance between images of different identities.
    pub inter: Option<f32>,
    /// Smallest distance between images of different identities.
    pub inter_min: Option<f32>,
}

impl From<&Line> for Step {
    fn from(line: &Line) -> Self {
        let Line { step, loss, softmax, positive, hinge, center, rate, lambda, intra, inter, inter_min } =
            *line;
        let finite = |value: f32| Some(value).filter(|v| v.is_finite());
        let [loss, softmax, positive, hinge, center, rate, lambda] =
            [loss, softmax, positive, hinge, center, rate, lambda].map(finite);
        let [intra, inter, inter_min] = [intra, inter, inter_min].map(|value| value.and_then(finite));
        Step { step, loss, softmax, positive, hinge, center, rate, lambda, intra, inter, inter_min }
    }
}

/// Reads the steps of a run, in ascending order and at least one. A last line that is not finished yet (the run
/// goes on, or was killed) is left out.
///
/// # Errors
/// No such file, nothing in it, or the first line that training would not have written.
pub fn read(path: &Path) -> Result<Vec<Step>> {
    let file = files::open(path).map_err(|e| match e.is_missing_file() {
        true => Error::Run(format!(
            "{}: not there; a run has it from its first step on (bcreid train)",
            path.display()
        )),
        false => e,
    })?;
    let fault =
        |number: usize, what: &str| Err(Error::Run(format!("{}: line {number} {what}", path.display())));
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut steps: Vec<Step> = Vec::new();
    let mut line = Vec::new();
    loop {
        read_line(&mut reader, &mut line).map_err(Error::io(path))?;
        let number = steps.len() + 1;
        if line.last() != Some(&b'\n') {
            if line.len() as u64 == LONGEST_LINE {
                return fault(number, "is longer than any that training writes; is this a run's folder?");
            }
            break;
        }
        let Some(step) = parse(&line) else {
            return fault(number, "is not a step that training wrote; a run's metrics are never edited");
        };
        if steps.last().is_some_and(|last| last.step >= step.step) {
            return fault(number, "goes back to an earlier step; a run's metrics are never edited");
        }
        if steps.len() == MAX_STEPS {
            return fault(number, "is the 4,000,001st step; so many are not read");
        }
        steps.push(step);
    }
    if steps.is_empty() {
        return Err(Error::Run(format!(
            "{}: no step in it yet; train first, or give the run time for its first line",
            path.display()
        )));
    }
    Ok(steps)
}

/// A line that names its step; `step` alone cannot be absent.
fn parse(line: &[u8]) -> Option<Step> {
    serde_json::from_slice::<Numbered>(line).ok()?;
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<Step>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn what_training_writes() {
        let steps = read_text(concat!(
            "{\"step\":0,\"loss\":1.5,\"intra\":null,\"inter\":0.5}\n",
            "{\"step\":1,\"loss\":null,\"of_tomorrow\":[1]}\n",
            "{\"step\":2,\"lo"
        ))
        .unwrap();
        assert_eq!(steps.len(), 2);
        assert_eq!((steps[0].loss, steps[0].intra, steps[0].inter), (Some(1.5), None, Some(0.5)));
        assert_eq!(steps[1], Step { step: 1, ..Step::default() });
    }

    #[test]
    fn what_it_does_not_write_is_named_with_its_line() {
        for (text, words) in [
            ("", "no step in it yet"),
            ("{\"step\":0", "no step in it yet"),
            ("{\"step\":0}\n{\"loss\":1}\n", "line 2 is not a step"),
            ("{\"step\":0}\n\n", "line 2 is not a step"),
            ("{\"step\":0}\n\u{0}\u{1}\n", "line 2 is not a step"),
            ("{\"step\":3}\n{\"step\":3}\n", "line 2 goes back"),
            ("{\"step\":-1}\n", "line 1 is not a step"),
            ("{\"step\":0,\"loss\":1e300}\n", "line 1 is not a step"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains('\n'), "{text:?}: {error}");
        }
        let long = format!("{{\"step\":0}}\n{}", "x".repeat(9000));
        assert!(read_text(&long).unwrap_err().to_string().contains("line 2 is longer"));
        assert!(read(Path::new("nowhere/metrics.jsonl")).unwrap_err().to_string().contains("bcreid train"));
    }
}
