//! A study's folder and its recipes: a recipe is identified by its start and its settings, not by its name.

use super::Recipe;
use super::recipes::{difference, identity};
use super::start::Start;
use crate::config::Config;
use crate::files::is_temporary_name;
use crate::run::Layout;
use crate::run::folder::read_config;
use crate::{Error, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Checks that a study may use the folder `out`: it has a `study.json`, is empty, or does not exist.
///
/// # Errors
/// A folder of something else, such as a run of `bcreid train`; a file in its place.
pub(super) fn require_study_or_vacant(out: &Path) -> Result<()> {
    let entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            return Err(Error::Run(format!(
                "{}: this is no folder; give a study a folder as --out",
                out.display()
            )));
        }
        Err(e) => return Err(Error::io(out)(e)),
    };
    if out.join("study.json").is_file() {
        return Ok(());
    }
    for entry in entries {
        let name = entry.map_err(Error::io(out))?.file_name();
        // A study that was stopped before its first run leaves these files.
        if name.to_str().is_some_and(|name| name == "lock" || is_temporary_name(name)) {
            continue;
        }
        let what = match Layout::of(out).config().is_file() {
            true => {
                "this is a run of bcreid train and not a study (config.toml, and no study.json)".to_string()
            }
            false => format!("the folder holds {} and is not a study's (no study.json)", name.display()),
        };
        return Err(Error::Run(format!("{}: {what}; give another --out", out.display())));
    }
    Ok(())
}

/// A recipe with runs in a study's folder.
#[derive(Debug)]
struct Known {
    name: String,
    /// Name of the start, in a study that compares starts.
    start: Option<String>,
    /// Settings, by [`identity`].
    settings: Config,
    /// Number of trained runs.
    trained: usize,
}

/// Gives each recipe the name of the folder in `out` whose runs have its start and its settings. `names` are the
/// names of all starts of the study, those of earlier calls included; `starts` are the starts of this call.
///
/// # Errors
/// A new recipe whose name is taken by a recipe with other settings; an unreadable folder.
pub(super) fn reuse(out: &Path, names: &[String], starts: &[Start], recipes: &mut [Recipe]) -> Result<()> {
    let there = recipes_in(out, names)?;
    for recipe in recipes {
        let (start, settings) = (starts[recipe.start].name.as_deref(), identity(&recipe.config));
        let is_equal = |known: &&Known| known.start.as_deref() == start && known.settings == settings;
        let of_its_name = there.iter().find(|known| known.name == recipe.name);
        // Earlier versions could write equal recipes under two names.
        let equal = of_its_name.filter(is_equal);
        let equal = equal.or_else(|| there.iter().filter(is_equal).max_by_key(|known| known.trained));
        match (equal, of_its_name) {
            (Some(known), _) => recipe.name.clone_from(&known.name),
            (None, Some(other)) => {
                let why = difference(&other.settings, &settings).unwrap_or("another start".into());
                return Err(other_settings(&out.join(&recipe.name), &why));
            }
            (None, None) => {}
        }
    }
    Ok(())
}

/// Error for runs with other settings than this call; `why` names the differences.
pub(super) fn other_settings(what: &Path, why: &str) -> Error {
    Error::Run(format!(
        "{}: what is there has other settings: {why}; give the study another --out, or the settings it began with",
        what.display()
    ))
}

/// The recipes in a study's folder, sorted by name. Folders without a run whose settings can be read are skipped.
fn recipes_in(out: &Path, names: &[String]) -> Result<Vec<Known>> {
    let mut there = Vec::new();
    for entry in fs::read_dir(out).map_err(Error::io(out))? {
        let entry = entry.map_err(Error::io(out))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let start = start_of(&name, names);
        if !entry.path().is_dir() || start.is_none() != names.is_empty() {
            continue;
        }
        let mut runs: Vec<(u64, _)> = fs::read_dir(entry.path())
            .map_err(Error::io(entry.path()))?
            .filter_map(|run| run.ok())
            .filter_map(|run| {
                Some((run.file_name().to_str()?.strip_prefix("seed-")?.parse().ok()?, run.path()))
            })
            .collect();
        runs.sort();
        let Some(config) = runs.iter().find_map(|(_, run)| read_config(run).ok()) else { continue };
        let trained = runs.iter().filter(|(_, run)| Layout::of(run).weights().is_file()).count();
        there.push(Known { name, start, settings: identity(&config), trained });
    }
    there.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(there)
}

/// The start in the name of a recipe's folder: the longest match among `names`, because a start's name may have a plus.
fn start_of(folder: &str, names: &[String]) -> Option<String> {
    let is_at_end = |name: &&String| {
        let rest = folder.strip_suffix(name.as_str()).and_then(|rest| rest.strip_suffix("start-"));
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('+'))
    };
    names.iter().filter(is_at_end).max_by_key(|name| name.len()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: Option<&str>) -> Start {
        Start { name: name.map(String::from), ..Start::only(None, &[], &[]).unwrap() }
    }

    fn config(settings: &[&str]) -> Config {
        Config::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
    }

    /// Writes the files of a run that `reuse` reads.
    fn write(out: &Path, folder: &str, seed: u64, settings: &[&str], trained: bool) {
        let run = out.join(folder).join(format!("seed-{seed}"));
        fs::create_dir_all(&run).unwrap();
        let mut config = config(settings);
        config.run.seed = seed;
        fs::write(run.join("config.toml"), config.to_toml()).unwrap();
        if trained {
            fs::write(run.join("weights.safetensors"), "").unwrap();
        }
    }

    #[test]
    fn a_recipe_is_known_by_its_settings_and_its_start() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        write(out, "full+start-a", 3, &["run.log_every=5"], true);
        write(out, "full+reduction-mean+start-a", 0, &["loss.batch_contrastive.reduction=mean"], false);
        write(out, "twin+start-a", 0, &["loss.batch_contrastive.reduction=mean"], true);
        write(
            out,
            "baseline+start-b",
            0,
            &["loss.batch_contrastive.weight=0", "loss.batch_contrastive.tau=1"],
            true,
        );
        fs::create_dir(out.join("earlier")).unwrap();
        fs::write(out.join("result.json"), "").unwrap();
        let names = ["a", "b"].map(String::from);
        let starts = [start(Some("a")), start(Some("b"))];
        let found = |name: &str, start: usize, settings: &[&str]| {
            let mut recipes = [Recipe { name: name.into(), start, config: config(settings) }];
            reuse(out, &names, &starts, &mut recipes).map(|()| recipes[0].name.clone())
        };
        for (name, start, settings, folder) in [
            // Another seed, and a setting without effect.
            ("lambda-1+tau-0.3+start-a", 0, &["run.seed=9"][..], "full+start-a"),
            (
                "lambda-0+start-b",
                1,
                &["loss.batch_contrastive.weight=0", "loss.batch_contrastive.reduction=mean"],
                "baseline+start-b",
            ),
            // Of two equal recipes the one with this name, else the one with more trained runs.
            (
                "full+reduction-mean+start-a",
                0,
                &["loss.batch_contrastive.reduction=mean"],
                "full+reduction-mean+start-a",
            ),
            ("reduction-mean+start-a", 0, &["loss.batch_contrastive.reduction=mean"], "twin+start-a"),
            // Another start is another recipe, and so are other settings.
            ("full+start-b", 1, &[], "full+start-b"),
            ("lambda-0+start-a", 0, &["loss.batch_contrastive.weight=0"], "lambda-0+start-a"),
        ] {
            assert_eq!(found(name, start, settings).unwrap(), folder);
        }
        let error = found("full+start-a", 0, &["solver.batch=8"]).unwrap_err().to_string();
        assert!(
            error.contains("full+start-a: ") && error.contains("solver.batch is 16 there and 8 here"),
            "{error}"
        );
    }

    #[test]
    fn a_start_s_name_may_hold_a_plus() {
        let names = ["b", "a+start-b", "ab"].map(String::from);
        for (folder, name) in [
            ("start-b", Some("b")),
            ("lambda-1+start-b", Some("b")),
            ("lambda-1+start-a+start-b", Some("a+start-b")),
            ("start-ab", Some("ab")),
            ("restart-b", None),
            ("lambda-1", None),
        ] {
            assert_eq!(start_of(folder, &names).as_deref(), name, "{folder}");
        }
    }

    #[test]
    fn folders_of_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let check = || require_study_or_vacant(&out);
        check().unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("lock"), "").unwrap();
        fs::write(out.join(".bcreid-0123456789ab.tmp"), "").unwrap();
        check().unwrap();
        fs::create_dir(out.join("checkpoints")).unwrap();
        assert!(check().unwrap_err().to_string().contains("holds checkpoints and is not a study's"));
        fs::write(out.join("config.toml"), "").unwrap();
        assert!(check().unwrap_err().to_string().contains("is a run of bcreid train"));
        fs::write(out.join("study.json"), "").unwrap();
        check().unwrap();
        let file = out.join("lock");
        assert!(require_study_or_vacant(&file).unwrap_err().to_string().contains("is no folder"));
    }
}
