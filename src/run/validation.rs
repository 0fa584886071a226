//! `validation.jsonl`: the evaluations during training, one line of JSON for each; and the record of the best one,
//! whose weights are `best.safetensors`.
//!
//! A line is written when its evaluation is complete, behind `best.safetensors` and `best.json`. A run that was killed
//! in the middle of an evaluation has no line of it, and repeats it. All that a resumed run needs, the best evaluation
//! and the number of evaluations since, follows from the lines.

use super::Layout;
use crate::files::{MIB, open_to_append, read_text, write_atomically};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// Size of the largest file that is read: some 100,000 evaluations.
const MOST_BYTES: u64 = 32 * MIB;

/// An evaluation during training. Figures are shares, as in [`crate::eval`]'s reports, and `None` if the features could
/// not be ranked, for the reason in `fault`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Iterations that were done.
    pub iterations: u64,
    /// CMC at rank 1.
    pub rank1: Option<f64>,
    /// Mean average precision by trapezoids, by which the best evaluation is chosen.
    pub map_market: Option<f64>,
    /// Mean average precision as a finite sum.
    pub map_sum: Option<f64>,
    /// Mean inverse negative penalty.
    pub minp: Option<f64>,
    /// Number of queries.
    pub queries: usize,
    /// Number of gallery images.
    pub gallery: usize,
    /// Why there are no figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl Validation {
    /// The figures in percent: `rank-1 50.00, mAP 40.12`; or the fault.
    pub fn in_words(&self) -> String {
        match (self.rank1, self.map_market) {
            (Some(rank1), Some(map)) => format!("rank-1 {:.2}, mAP {:.2}", 100.0 * rank1, 100.0 * map),
            _ => format!("no figures ({})", self.fault.as_deref().unwrap_or("no reason given")),
        }
    }

    /// The line of the file, without its end.
    pub fn to_json(&self) -> String {
        // Names and finite numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The best evaluation: the highest mAP, the first of equal ones.
pub fn best(all: &[Validation]) -> Option<&Validation> {
    let measured = all.iter().filter(|one| one.map_market.is_some());
    measured.fold(None, |best: Option<&Validation>, one| match best {
        Some(best) if best.map_market >= one.map_market => Some(best),
        _ => Some(one),
    })
}

/// The number of evaluations since the best one.
pub fn since_best(all: &[Validation]) -> u64 {
    let best = best(all).map(|best| best.iterations);
    all.iter().filter(|one| best.is_none_or(|best| one.iterations > best)).count() as u64
}

/// Whether a run ends: `patience` evaluations, if not 0, brought no better mAP.
pub fn is_exhausted(all: &[Validation], patience: u64) -> bool {
    patience > 0 && since_best(all) >= patience
}

/// Reads the evaluations of a run, in ascending order; none if it has no such file. An unfinished last line is left
/// out.
///
/// # Errors
/// A file that cannot be read; a line that training did not write.
pub fn read(path: &Path) -> Result<Vec<Validation>> {
    let text = match read_text(path, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_missing_file() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all: Vec<Validation> = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let Some(line) = line.strip_suffix('\n') else { break };
        let read = serde_json::from_str::<Validation>(line).ok();
        let is_share = |value: &Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
        let in_order = |one: &Validation| all.last().is_none_or(|last| last.iterations < one.iterations);
        let sound = read.filter(|one| {
            [one.rank1, one.map_market, one.map_sum, one.minp].iter().all(is_share) && in_order(one)
        });
        all.push(sound.ok_or_else(|| {
            Error::Run(format!(
                "{}: line {} is no evaluation that training wrote, or goes back to an earlier one; restore the file, or \
                 move it away",
                path.display(),
                number + 1
            ))
        })?);
    }
    Ok(all)
}

/// Reads the evaluations up to `iterations` and removes later ones from the file, so that a resumed run leaves the file
/// of an uninterrupted one.
///
/// # Errors
/// As [`read`]; errors of the file system.
pub fn continue_at(path: &Path, iterations: u64) -> Result<Vec<Validation>> {
    let mut all = read(path)?;
    let text = || read_text(path, MOST_BYTES);
    all.retain(|one| one.iterations <= iterations);
    let kept: String = all.iter().map(|one| one.to_json() + "\n").collect();
    if text().is_ok_and(|text| text != kept) {
        write_atomically(path, |writer| writer.write_all(kept.as_bytes()))?;
    }
    Ok(all)
}

/// Adds the line of an evaluation and syncs it to the disk.
///
/// # Errors
/// Errors of the file system.
pub fn append(path: &Path, one: &Validation) -> Result<()> {
    let mut file = open_to_append(path)?;
    let line = one.to_json() + "\n";
    file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(Error::io(path))
}

/// The record of the best evaluation, whose weights are [`Layout::best`]; `None` if the run has none.
///
/// # Errors
/// A file that cannot be read or has another form.
pub fn read_best(run: &Layout) -> Result<Option<Validation>> {
    let path = run.best_record();
    let text = match read_text(&path, MIB) {
        Ok(text) => text,
        Err(error) if error.is_missing_file() => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_str(&text).map(Some).map_err(|_| {
        Error::Run(format!("{}: damaged; delete it, and the next best evaluation writes it", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(iterations: u64, map: Option<f64>) -> Validation {
        let fault = map.is_none().then(|| "collapsed".into());
        Validation { iterations, rank1: map, map_market: map, fault, ..Validation::default() }
    }

    #[test]
    fn the_best_is_the_first_of_the_highest() {
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[of(1, None)]), None);
        let all = [of(1, Some(0.2)), of(2, Some(0.5)), of(3, None), of(4, Some(0.5)), of(5, Some(0.1))];
        assert_eq!(best(&all).unwrap().iterations, 2);
        assert_eq!(since_best(&all), 3);
        assert_eq!((since_best(&[]), since_best(&[of(1, None), of(2, None)])), (0, 2));
        for (patience, exhausted) in [(0, false), (2, true), (3, true), (4, false)] {
            assert_eq!(is_exhausted(&all, patience), exhausted, "{patience}");
        }
    }

    #[test]
    fn a_resumed_file_is_the_undisturbed_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("validation.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        assert_eq!(continue_at(&path, 5).unwrap(), []);
        assert!(!path.exists());
        // A third has no short decimal form.
        let all: Vec<Validation> = (1..6).map(|n| of(10 * n, Some(n as f64 / 7.0 / 3.0))).collect();
        all.iter().for_each(|one| append(&path, one).unwrap());
        let undisturbed = std::fs::read_to_string(&path).unwrap();
        assert_eq!(read(&path).unwrap(), all);
        std::fs::write(&path, format!("{undisturbed}{{\"iterations\":60,\"ra")).unwrap();
        assert_eq!(continue_at(&path, 39).unwrap(), all[..3]);
        all[3..].iter().for_each(|one| append(&path, one).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), undisturbed);
    }

    #[test]
    fn foreign_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("validation.jsonl");
        let good = of(1, Some(0.5)).to_json();
        for bad in ["x", "{\"iterations\":2,\"queries\":1}", &good, &of(2, Some(1.5)).to_json()] {
            std::fs::write(&path, format!("{good}\n{bad}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("line 2 is no evaluation"), "{bad}: {error}");
        }
    }
}
