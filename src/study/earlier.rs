//! The results of earlier calls. A study's result is that of its last call; one that holds less than the call before it
//! must not be the end of that one's figures.

use crate::files::read_text;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder of earlier results in a study's.
const FOLDER: &str = "earlier";
/// All figures.
pub(super) const RESULT: &str = "result.json";
/// The table and its notes.
pub(super) const TABLE: &str = "table.md";
/// The plot of a sweep.
pub(super) const PLOTS: [&str; 2] = ["sweep.svg", "sweep.png"];
/// Bytes of a result, at most: 1000 recipes with 100 runs each.
const LONGEST: u64 = 1 << 30;

/// The runs and gains that a result has figures of, to compare it with another result.
#[derive(Deserialize)]
struct Covered {
    recipes: Vec<Runs>,
    /// A sweep's pairs of recipes.
    #[serde(default)]
    points: Vec<Pair>,
    /// Those of a comparison.
    #[serde(default)]
    comparisons: Vec<Pair>,
}

/// The runs of a recipe; their seeds count up.
#[derive(Deserialize)]
struct Runs {
    name: String,
    settings: Settings,
    reports: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Settings {
    run: Seed,
}

#[derive(Deserialize)]
struct Seed {
    seed: u64,
}

/// A recipe and its baseline.
#[derive(Deserialize, PartialEq)]
struct Pair {
    #[serde(alias = "full")]
    recipe: String,
    baseline: Option<String>,
}

impl Covered {
    /// The names of all recipes with the seeds that they were run with.
    fn runs(&self) -> BTreeSet<(&str, u64)> {
        let seeds = |runs: &Runs| {
            let first = runs.settings.run.seed;
            first..first.saturating_add(runs.reports.len() as u64)
        };
        self.recipes.iter().flat_map(|runs| seeds(runs).map(|seed| (runs.name.as_str(), seed))).collect()
    }

    /// Whether each run and each gain of `other` is in this one too.
    fn holds(&self, other: &Self) -> bool {
        let has = |pair: &Pair| {
            pair.baseline.is_none() || self.points.contains(pair) || self.comparisons.contains(pair)
        };
        self.runs().is_superset(&other.runs()) && other.points.iter().chain(&other.comparisons).all(has)
    }
}

/// Moves the result in `out`, with its table and its plot, to a folder of its own, unless the text `new`, which is to
/// take its place, holds all of its runs and gains. Returns that folder, if there is one.
///
/// # Errors
/// What the file system says.
pub(super) fn set_aside(out: &Path, new: &str) -> Result<Option<PathBuf>> {
    let text = match read_text(&out.join(RESULT), LONGEST) {
        Ok(text) => text,
        Err(e) if e.is_missing_file() => return Ok(None),
        Err(e) => return Err(e),
    };
    let covered = |text: &str| serde_json::from_str::<Covered>(text).ok();
    // An unreadable result may hold figures that the new one lacks.
    if let (Some(new), Some(old)) = (covered(new), covered(&text))
        && new.holds(&old)
    {
        return Ok(None);
    }
    // A folder without a result is what a call that was killed here has left.
    let mut folders = (1u64..).map(|number| out.join(FOLDER).join(number.to_string()));
    let folder = folders.find(|folder| !folder.join(RESULT).exists()).expect("numbers do not end");
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    // The figures come last: while they are in their place, the next call moves what is left.
    for file in [TABLE].into_iter().chain(PLOTS).chain([RESULT]) {
        match fs::rename(out.join(file), folder.join(file)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(out.join(file))(e)),
            _ => {}
        }
    }
    Ok(Some(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result of recipes with their first seed and number of runs, and of pairs.
    fn result(recipes: &[(&str, u64, usize)], pairs: &[(&str, Option<&str>)], key: &str) -> String {
        let recipes: Vec<_> = recipes
            .iter()
            .map(|(name, seed, runs)| {
                serde_json::json!({"name": name, "settings": {"run": {"seed": seed}}, "reports": vec![1; *runs]})
            })
            .collect();
        let own = if key == "points" { "recipe" } else { "full" };
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, baseline)| serde_json::json!({own: name, "baseline": baseline}))
            .collect();
        serde_json::json!({"recipes": recipes, key: pairs}).to_string()
    }

    #[test]
    fn a_result_that_holds_less_does_not_end_the_one_before() {
        for key in ["points", "comparisons"] {
            let old = result(&[("a", 3, 2), ("b", 3, 2)], &[("a", Some("b"))], key);
            for (new, kept) in [
                (old.clone(), false),
                (result(&[("b", 3, 2), ("a", 2, 3), ("c", 3, 2)], &[("a", Some("b"))], key), false),
                (result(&[("a", 3, 2)], &[], key), true),
                (result(&[("a", 3, 1), ("b", 3, 1)], &[("a", Some("b"))], key), true),
                (result(&[("a", 5, 2), ("b", 5, 2)], &[("a", Some("b"))], key), true),
                (result(&[("a", 3, 2), ("b", 3, 2)], &[("a", None)], key), true),
            ] {
                let folder = tempfile::tempdir().unwrap();
                fs::write(folder.path().join(RESULT), &old).unwrap();
                let moved = set_aside(folder.path(), &new).unwrap();
                assert_eq!(moved.is_some(), kept, "{new}");
                assert_eq!(folder.path().join(RESULT).exists(), !kept);
                if let Some(moved) = moved {
                    assert_eq!(fs::read_to_string(moved.join(RESULT)).unwrap(), old);
                }
            }
        }
    }

    #[test]
    fn each_earlier_result_has_its_folder_with_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        assert_eq!(set_aside(out, "{}").unwrap(), None);
        for number in ["1", "2"] {
            for file in [RESULT, TABLE, PLOTS[0], PLOTS[1]] {
                fs::write(out.join(file), number).unwrap();
            }
            // A damaged one too: it may be mended.
            assert_eq!(set_aside(out, "{}").unwrap().unwrap(), out.join(FOLDER).join(number));
        }
        for (number, file) in
            ["1", "2"].into_iter().flat_map(|n| [RESULT, TABLE, PLOTS[0], PLOTS[1]].map(|f| (n, f)))
        {
            assert_eq!(fs::read_to_string(out.join(FOLDER).join(number).join(file)).unwrap(), number);
        }
        // A killed call has moved the table alone: its folder is filled.
        fs::remove_file(out.join("earlier/2/result.json")).unwrap();
        fs::write(out.join(RESULT), "2").unwrap();
        assert_eq!(set_aside(out, "{}").unwrap().unwrap(), out.join("earlier/2"));
        assert_eq!(fs::read_to_string(out.join("earlier/2/table.md")).unwrap(), "2");
    }
}
