//! Results of earlier calls. `result.json` is the result of the last call; if an earlier result has figures that the
//! new one lacks, it is moved to a folder of its own.

use super::MOST_RUNS;
use crate::files::{make_inside, read_text};
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Subfolder of earlier results.
const FOLDER: &str = "earlier";
/// File of all figures.
pub(super) const RESULT: &str = "result.json";
/// File of the table and its notes.
pub(super) const TABLE: &str = "table.md";
/// Files of a sweep's plot.
pub(super) const PLOTS: [&str; 2] = ["sweep.svg", "sweep.png"];
/// Largest size of a result in bytes: thousands of runs, with some 5 KiB each.
const LONGEST: u64 = 32 << 20;

/// Runs and gains of a result, for comparison with another result.
#[derive(Deserialize)]
struct Covered {
    recipes: Vec<Runs>,
    /// Recipes and baselines of a sweep.
    #[serde(default)]
    points: Vec<Pair>,
    /// Recipes and baselines of a reproduction.
    #[serde(default)]
    comparisons: Vec<Pair>,
}

/// Runs of a recipe, with consecutive seeds.
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
    /// Names and seeds of all runs.
    fn runs(&self) -> BTreeSet<(&str, u64)> {
        let seeds = |runs: &Runs| {
            let first = runs.settings.run.seed;
            first..first.saturating_add(runs.reports.len().min(MOST_RUNS) as u64)
        };
        self.recipes.iter().flat_map(|runs| seeds(runs).map(|seed| (runs.name.as_str(), seed))).collect()
    }

    /// True if this result has each run and each gain of `other`.
    fn covers(&self, other: &Self) -> bool {
        let has = |pair: &Pair| {
            pair.baseline.is_none() || self.points.contains(pair) || self.comparisons.contains(pair)
        };
        self.runs().is_superset(&other.runs()) && other.points.iter().chain(&other.comparisons).all(has)
    }
}

/// Moves the result in `out`, with its table and its plot, to a folder of its own, unless the new result `new` (JSON
/// text) has all of its runs and gains. Returns that folder, if the result was moved.
///
/// # Errors
/// An error of the file system.
pub(super) fn set_aside(out: &Path, new: &str) -> Result<Option<PathBuf>> {
    let text = match read_text(&out.join(RESULT), LONGEST) {
        Ok(text) => text,
        Err(e) if e.is_missing_file() => return Ok(None),
        Err(e) => return Err(e),
    };
    let covered = |text: &str| serde_json::from_str::<Covered>(text).ok();
    // An unreadable result may hold figures that the new one lacks.
    if let (Some(new), Some(old)) = (covered(new), covered(&text))
        && new.covers(&old)
    {
        return Ok(None);
    }
    // A folder without a result was left by a call that was killed while it moved files.
    let mut folders = (1u64..).map(|number| Path::new(FOLDER).join(number.to_string()));
    let folder = folders.find(|folder| !out.join(folder).join(RESULT).exists()).expect("numbers do not end");
    let folder = make_inside(out, folder)?;
    // The figures are moved last: while they are in `out`, the next call moves the remaining files.
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
    fn a_result_with_fewer_figures_does_not_replace_the_earlier_one() {
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
            // A damaged result is moved too: it may be repaired.
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
