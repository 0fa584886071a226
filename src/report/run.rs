//! What a report reads of a run: its name, its settings, its steps.

use super::palette::RUNS;
use crate::files::{MIB, read_text};
use crate::ops::batch_contrastive::Reduction;
use crate::run::Layout;
use crate::run::metrics::{self, StepMetrics};
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// A run, read.
#[derive(Clone, Debug)]
pub struct Run {
    /// The end of its path that tells it from the others.
    pub name: String,
    /// Its folder, as given.
    pub folder: PathBuf,
    /// Its settings.
    pub settings: Settings,
    /// Its steps; at least one.
    pub steps: Vec<StepMetrics>,
}

/// A run's settings as they stand in its `config.toml`: key and value, both as text. They are not checked against the
/// settings that this program knows, so that a run of an older or newer one can be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

/// Reads runs, in the order given.
///
/// # Errors
/// No run, more than there are colours for, one given twice; a folder that is no run's; what [`metrics::read`] says.
pub fn read_all(folders: &[PathBuf]) -> Result<Vec<Run>> {
    if folders.is_empty() {
        return Err(Error::Run("give the folder of at least one run".into()));
    }
    if folders.len() > RUNS {
        return Err(Error::Run(format!(
            "{} runs: at most {RUNS} can be told apart in one drawing",
            folders.len()
        )));
    }
    let names = names(folders);
    let read = |(folder, name): (&PathBuf, String)| {
        let settings = Settings::read(folder)?;
        let steps = metrics::read(&Layout::of(folder).metrics())?;
        Ok(Run { name, folder: folder.clone(), settings, steps })
    };
    let real: Vec<PathBuf> = folders.iter().filter_map(|f| f.canonicalize().ok()).collect();
    if let Some(i) = (1..real.len()).find(|&i| real[..i].contains(&real[i])) {
        return Err(Error::Run(format!("{}: this run is given twice", real[i].display())));
    }
    folders.iter().zip(names).map(read).collect()
}

impl Run {
    /// How long its training was meant to go on; unknown if the settings do not say.
    pub fn planned(&self) -> Option<u64> {
        self.settings.get("solver.iterations")?.parse().ok()
    }

    /// The losses it was trained with, in words.
    pub fn losses(&self) -> String {
        match self.settings.get("loss.lambda").and_then(|v| v.parse::<f64>().ok()) {
            Some(0.0) => "softmax loss alone".into(),
            Some(lambda) => {
                let reduction = self.settings.reduction().name();
                format!("with batch-contrastive loss ({reduction}), \u{3bb} = {lambda}")
            }
            None => "losses unknown".into(),
        }
    }

    /// The points (step, value) of what was measured.
    pub fn points(&self, value: impl Fn(&StepMetrics) -> Option<f32>) -> Vec<(f64, f64)> {
        let point = |step: &StepMetrics| Some((step.step as f64, f64::from(value(step)?)));
        self.steps.iter().filter_map(point).collect()
    }
}

impl Settings {
    /// Reads those of the run in `folder`.
    ///
    /// # Errors
    /// If it is no run's folder, or the file is not TOML.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = Layout::of(folder).config();
        let text = read_text(&path, MIB).map_err(|e| match e.is_missing_file() {
            true => Error::Run(format!(
                "{}: not a run folder (no config.toml in it); give one that bcreid train made",
                folder.display()
            )),
            false => e,
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| {
            let why = e.message().split_whitespace().collect::<Vec<_>>().join(" ");
            Error::Run(format!("{}: not TOML: {why}", path.display()))
        })?;
        let mut settings = Vec::new();
        for (section, content) in table {
            match content {
                toml::Value::Table(values) => {
                    settings
                        .extend(values.iter().map(|(key, v)| (format!("{section}.{key}"), v.to_string())));
                }
                value => settings.push((section, value.to_string())),
            }
        }
        Ok(Settings(settings))
    }

    /// A setting's value, `"text"` with its quotes; none where it is not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// Whether the batch-contrastive loss is a sum or a mean; runs older than the choice have sums.
    pub fn reduction(&self) -> Reduction {
        match self.get("loss.reduction") {
            Some("\"mean\"") => Reduction::Mean,
            _ => Reduction::Sum,
        }
    }

    /// All keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// For each folder the shortest end of its path that no other has; the whole path where there is none.
pub fn names(folders: &[PathBuf]) -> Vec<String> {
    let parts = |folder: &PathBuf| -> Vec<String> {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let named = whole.components().filter(|c| matches!(c, Component::Normal(_)));
        named.map(|c| c.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let all: Vec<Vec<String>> = folders.iter().map(parts).collect();
    let end = |parts: &[String], n: usize| parts[parts.len().saturating_sub(n)..].join("/");
    let name = |(i, own): (usize, &Vec<String>)| {
        let others = || all.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, parts)| parts);
        let alone = |n: &usize| others().all(|other| end(other, *n) != end(own, *n));
        let n = (1..=own.len()).find(alone);
        n.map_or_else(|| folders[i].display().to_string(), |n| end(own, n))
    };
    all.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_differ() {
        let of = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/nowhere/a/full"]), ["full"]);
        assert_eq!(of(&["/nowhere/a/full", "/nowhere/a/baseline"]), ["full", "baseline"]);
        assert_eq!(of(&["/nowhere/a/full", "/nowhere/b/full", "/x"]), ["a/full", "b/full", "x"]);
        assert_eq!(of(&["/nowhere/full", "/nowhere/b/nowhere/full"]), ["/nowhere/full", "b/nowhere/full"]);
    }
}
