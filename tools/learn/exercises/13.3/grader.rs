//! The predictions of the lab for another bandwidth: the claims in the comments of cuda/lab, evaluated.

use crate::checks::{Checks, Finding, that};
use crate::lines;
use crate::repository;
use std::fs;
use std::path::Path;

#[allow(dead_code)]
#[path = "../../../../tests/ops/lab/claims.rs"]
mod claims;
#[allow(dead_code)]
#[path = "../../../../tests/ops/lab/formula.rs"]
mod formula;

use claims::{Prediction, Size, Version};

const LABS: [&str; 3] = ["softmax_cross_entropy", "l2_normalize", "batch_contrastive"];
/// Bytes a second.
const BANDWIDTH: f64 = 4.8e12;
/// A change that the table of the lab would not show.
const SMALL: f64 = 1e-3;
/// The relative error of a stated time.
const TOLERANCE: f64 = 1e-2;

/// The large size of a version: the first one of its comment.
struct Large {
    kernel: String,
    /// Microseconds on the chip of the lab, and with the other bandwidth.
    time: [f64; 2],
}

fn versions(lab: &str) -> Result<Vec<Large>, String> {
    let path = repository::find()?.join("cuda/lab").join(lab).with_extension("cu");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let large = |version: Version| {
        let [Prediction { m, n, .. }, ..] = version.predicted[..] else {
            return Err(format!("{} predicts no time", version.kernel));
        };
        let size = Size { m, n, block: version.block };
        let micros = |bandwidth| version.time(size, bandwidth).map(|seconds| seconds * 1e6);
        Ok(Large { time: [micros(None)?, micros(Some(BANDWIDTH))?], kernel: version.kernel.clone() })
    };
    Version::all(&text)?.into_iter().map(large).collect()
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    checks.check("the names", || {
        let lines = lines::read(answer)?;
        let mut names = Vec::new();
        for lab in LABS {
            names.extend(versions(lab)?.into_iter().map(|version| version.kernel));
        }
        lines::only(&lines, &names.iter().map(String::as_str).collect::<Vec<_>>())
    });
    for lab in LABS {
        checks.check(lab, || {
            let lines = lines::read(answer)?;
            versions(lab)?.iter().try_for_each(|version| one(&lines, version))
        });
    }
}

fn one(lines: &[Vec<String>], Large { kernel, time: [old, new] }: &Large) -> Finding {
    let changes = (new - old).abs() > SMALL * old;
    let is_named = lines.iter().any(|words| words[0] == *kernel);
    if !changes {
        return that(!is_named, || {
            format!(
                "{kernel} stays at {old:.2} us: memory is not its largest bound, so another B changes nothing"
            )
        });
    }
    that(is_named, || format!("{kernel} changes: memory / B is its largest bound on the chip of the lab"))?;
    let words = lines::behind(lines, kernel, "VERSION MICROSECONDS")?;
    let given: f64 = words[0].parse().map_err(|_| format!("`{}` is no number", words[0]))?;
    that((given - new).abs() <= TOLERANCE * new, || {
        format!(
            "{kernel}: {given} us instead of {new:.2}: the time is the largest bound, and with a larger B another one \
             may be the largest"
        )
    })
}
