//! Places in the sources: file and function.

use crate::checks::{Checks, Finding, that};
use crate::{lines, repository};
use std::fs;
use std::path::Path;

/// Letter, file, function, and what a wrong place lacks.
const PLACES: [(&str, &str, &str, &str); 3] = [
    (
        "a",
        "src/ops/add.rs",
        "add",
        "the function that checks both shapes chooses, with `x.gpu()`, which is None on the CPU",
    ),
    ("b", "src/train/step.rs", "step_with_hook", "look for the optimiser at the end of the step"),
    (
        "c",
        "src/run/metrics/log.rs",
        "write",
        "look for the log that src/train/solver.rs opens with the path of metrics.jsonl",
    ),
];

pub fn grade(checks: &mut Checks, answer: &Path) {
    for place in PLACES {
        checks.check(&format!("place {}", place.0), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &PLACES.map(|place| place.0))?;
            one(&lines, place)
        });
    }
}

fn one(lines: &[Vec<String>], (letter, file, function, hint): (&str, &str, &str, &str)) -> Finding {
    let words = lines::behind(lines, letter, "LETTER FILE FUNCTION")?;
    // A path such as Log::write names the function too.
    let (own, path) = (words[0].trim_start_matches("./"), words[1].trim_end_matches("()"));
    let name = path.rsplit("::").next().unwrap_or(path);
    let source = fs::read_to_string(repository::find()?.join(own));
    let source = source.map_err(|_| format!("the repository has no file {own}"))?;
    let has_function =
        [format!("fn {name}("), format!("fn {name}<")].iter().any(|head| source.contains(head));
    that(has_function, || format!("{own} has no function `{name}`"))?;
    that((own, name) != ("src/train/step.rs", "step"), || {
        "`step` only calls `step_with_hook`; the call is in there".into()
    })?;
    that((own, name) != ("src/train/recorder.rs", "read_back"), || {
        "`read_back` only calls `write` of the log; the line is written in there".into()
    })?;
    that((own, name) == (file, function), || format!("`{name}` in {own} is not the place: {hint}"))
}
