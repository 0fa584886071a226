//! A run as reports read it: name, settings, provenance and steps.

use super::palette::RUNS;
use crate::config::{Config, MetricLoss, stored_settings};
use crate::files::{MIB, read_text};
use crate::ops::batch_contrastive::Reduction;
use crate::run::metrics::{self, StepMetrics};
use crate::run::validation::{self, Validation};
use crate::run::{Layout, RunProvenance, search};
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Name, folder, settings, provenance and steps of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Shortest end of the run's path that distinguishes it from the other runs.
    pub name: String,
    /// Run folder, as given.
    pub folder: PathBuf,
    /// Settings.
    pub settings: Settings,
    /// Start, data set, date and duration; nothing recorded if an earlier version made the run.
    pub provenance: RunProvenance,
    /// Steps; at least one.
    pub steps: Vec<StepMetrics>,
    /// Evaluations during training.
    pub validations: Vec<Validation>,
}

/// Settings of a run from its `config.toml`: key and value, both as text. They are not checked against the settings of
/// this version, so that runs of older and newer versions can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(Vec<(String, String)>);

/// Reads runs, in the order given.
///
/// # Errors
/// No run, more than [`RUNS`] runs, a run given twice; a folder that is not a run folder; errors of [`metrics::read`]
/// and of [`RunProvenance::read`].
pub fn read_all(folders: &[PathBuf]) -> Result<Vec<Run>> {
    if folders.is_empty() {
        return Err(Error::Run("no run is given; give at least one run folder".into()));
    }
    if folders.len() > RUNS {
        return Err(Error::Run(format!(
            "{} runs are given, and a drawing shows at most {RUNS}; give fewer runs",
            folders.len()
        )));
    }
    let names = names(folders);
    let read = |(folder, name): (&PathBuf, String)| {
        let settings = Settings::read(folder)?;
        let provenance = RunProvenance::read(&Layout::of(folder))?.unwrap_or_default();
        let steps = metrics::read(&Layout::of(folder).metrics())?;
        let validations = validation::read(&Layout::of(folder).validation())?;
        Ok(Run { name, folder: folder.clone(), settings, provenance, steps, validations })
    };
    let real: Vec<PathBuf> = folders.iter().filter_map(|f| f.canonicalize().ok()).collect();
    if let Some(i) = (1..real.len()).find(|&i| real[..i].contains(&real[i])) {
        return Err(Error::Run(format!(
            "{}: this run is given twice; give each run once",
            real[i].display()
        )));
    }
    folders.iter().zip(names).map(read).collect()
}

impl Run {
    /// Planned number of iterations; `None` if the settings do not state it.
    pub fn planned(&self) -> Option<u64> {
        self.settings.get("solver.iterations")?.parse().ok()
    }

    /// Description of the losses that have a weight. The softmax loss is named where the batch-contrastive one is missing.
    pub fn losses(&self) -> String {
        let weight = |loss: &str| {
            self.settings.get(&format!("loss.{loss}.weight")).and_then(|weight| weight.parse::<f64>().ok())
        };
        let Some(lambda) = weight("batch_contrastive") else { return "losses unknown".into() };
        let has_weight = |loss: &MetricLoss| weight(loss.name()).is_some_and(|weight| weight != 0.0);
        let others: Vec<&str> =
            MetricLoss::ALL.into_iter().filter(has_weight).map(MetricLoss::full_name).collect();
        let others = others.join(" + ");
        let softmax = if weight("softmax") == Some(0.0) { "" } else { "softmax + " };
        match (lambda != 0.0, others.is_empty()) {
            (false, true) => "softmax loss alone".into(),
            (false, false) => format!("{softmax}{others} loss"),
            (true, _) => {
                let others = if others.is_empty() { others } else { format!(" + {others} loss") };
                let reduction = self.settings.reduction().name();
                format!("batch-contrastive loss, \u{3bb} = {lambda} ({reduction}){others}")
            }
        }
    }

    /// The step from which on the run diverged, if it did: its last total loss is not finite or above 1,000 times the
    /// first. The first step behind which no total loss is within twice the first counts.
    pub fn diverged(&self) -> Option<u64> {
        const FAR: f32 = 1000.0;
        const NEAR: f32 = 2.0;
        let first = self.steps.first()?.loss?.max(1.0);
        let within = |step: &StepMetrics, factor: f32| step.loss.is_some_and(|loss| loss <= factor * first);
        if within(self.steps.last()?, FAR) {
            return None;
        }
        let good = self.steps.iter().rposition(|step| within(step, NEAR));
        Some(self.steps[good.map_or(0, |last| last + 1)].step)
    }

    /// The name, with a remark if the run diverged.
    pub fn remarked_name(&self) -> String {
        if self.diverged().is_some() { format!("{} (diverged)", self.name) } else { self.name.clone() }
    }

    /// The steps before the run diverged: all steps of a run that did not.
    pub fn sound_steps(&self) -> &[StepMetrics] {
        let end = self.diverged().and_then(|from| self.steps.iter().position(|step| step.step == from));
        &self.steps[..end.unwrap_or(self.steps.len())]
    }

    /// Points (step, value) of the steps that have the value.
    pub fn points(&self, value: impl Fn(&StepMetrics) -> Option<f32>) -> Vec<(f64, f64)> {
        points(&self.steps, value)
    }
}

/// Points (step, value) of those of `steps` that have the value.
pub fn points(steps: &[StepMetrics], value: impl Fn(&StepMetrics) -> Option<f32>) -> Vec<(f64, f64)> {
    let point = |step: &StepMetrics| Some((step.step as f64, f64::from(value(step)?)));
    steps.iter().filter_map(point).collect()
}

impl Settings {
    /// Reads the settings of the run in `folder`.
    ///
    /// # Errors
    /// If `folder` is not a run folder, or the file is not TOML.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = Layout::of(folder).config();
        let text = read_text(&path, MIB).map_err(|e| match e.is_missing_file() {
            true => search::not_a_run(folder),
            false => e,
        })?;
        let settings = stored_settings(&text).map_err(|e| match e {
            Error::Config(why) => Error::Run(format!("{}: {why}", path.display())),
            other => other,
        })?;
        Ok(Settings(settings))
    }

    /// Value of a setting, with the quotes of a text; `None` if it is not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    /// The network in words, or the name of its kind if these settings are not those of this version.
    pub fn network(&self) -> String {
        let Some(arch) = self.get("model.arch") else { return "?".into() };
        let of_model = self.0.iter().filter(|(key, _)| key.starts_with("model."));
        let settings: Vec<String> = of_model.map(|(key, value)| format!("{key}={value}")).collect();
        match Config::resolve_text("", &settings) {
            Ok(config) => config.model.describe(),
            Err(_) => arch.trim_matches('"').to_string(),
        }
    }

    /// Reduction of the batch-contrastive loss; runs from before this setting have sums.
    pub fn reduction(&self) -> Reduction {
        match self.get("loss.batch_contrastive.reduction") {
            Some("\"mean\"") => Reduction::Mean,
            _ => Reduction::Sum,
        }
    }

    /// All keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }
}

/// Names of runs: for each folder the shortest end of its path that no other folder has, or the whole path.
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
    fn a_run_diverges_where_its_loss_leaves_for_good() {
        let run = |losses: &[Option<f32>]| {
            let step = |(step, loss): (usize, &Option<f32>)| StepMetrics {
                step: step as u64,
                loss: *loss,
                ..StepMetrics::default()
            };
            let steps = losses.iter().enumerate().map(step).collect();
            let provenance = RunProvenance::default();
            let (folder, settings) = (PathBuf::new(), Settings::default());
            Run { name: "r".into(), folder, settings, provenance, steps, validations: Vec::new() }
        };
        let some = |losses: &[f32]| run(&losses.iter().map(|loss| Some(*loss)).collect::<Vec<_>>());
        assert_eq!(some(&[6.0, 5.0, 4e9, 5.0]).diverged(), None, "a spike");
        assert_eq!(some(&[6.0, 5.0, 100.0]).diverged(), None, "a high loss");
        let far = some(&[6.0, 90.0, 5.0, 13.0, 1e5, 1e24]);
        assert_eq!((far.diverged(), far.sound_steps().len()), (Some(3), 3));
        assert_eq!(far.remarked_name(), "r (diverged)");
        let gone = run(&[Some(6.0), Some(7.0), None]);
        assert_eq!((gone.diverged(), gone.sound_steps().len()), (Some(2), 2));
        // Files of other programs may have no losses.
        assert_eq!(run(&[None, None]).diverged(), None);
        assert_eq!(some(&[6.0]).sound_steps().len(), 1);
    }

    #[test]
    fn losses_and_layers_of_other_methods_are_named() {
        let settings = |pairs: &[(&str, &str)]| {
            Settings(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect())
        };
        let losses = |pairs: &[(&str, &str)]| {
            let (folder, provenance) = (PathBuf::new(), RunProvenance::default());
            let (steps, validations) = (Vec::new(), Vec::new());
            Run { name: "r".into(), folder, settings: settings(pairs), provenance, steps, validations }
                .losses()
        };
        let (lambda, softmax) = ("loss.batch_contrastive.weight", "loss.softmax.weight");
        let (triplet, center) = ("loss.triplet.weight", "loss.center.weight");
        assert_eq!(losses(&[]), "losses unknown");
        assert_eq!(losses(&[(lambda, "0.0"), (triplet, "0.0")]), "softmax loss alone");
        let of_two = losses(&[(lambda, "0.0"), (triplet, "1.0"), (center, "0.5"), (softmax, "1.0")]);
        assert_eq!(of_two, "softmax + triplet + separate center loss");
        assert_eq!(losses(&[(lambda, "0.0"), (triplet, "1.0"), (softmax, "0.0")]), "triplet loss");
        let both = losses(&[(lambda, "1.0"), (triplet, "1.0")]);
        assert_eq!(both, "batch-contrastive loss, \u{3bb} = 1 (sum) + triplet loss");

        let slim = ("model.arch", "\"slim\"");
        let neck = settings(&[slim, ("model.neck", "\"batchnorm\""), ("model.embedding", "[8]")]);
        assert_eq!(neck.network(), "slim, embedding 8, batch-norm neck");
        assert_eq!(settings(&[slim, ("model.unheard", "1")]).network(), "slim", "of another version");
        assert_eq!(settings(&[]).network(), "?");
    }

    #[test]
    fn names_are_short_and_differ() {
        let of = |paths: &[&str]| names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(of(&["/nowhere/a/full"]), ["full"]);
        assert_eq!(of(&["/nowhere/a/full", "/nowhere/a/baseline"]), ["full", "baseline"]);
        assert_eq!(of(&["/nowhere/a/full", "/nowhere/b/full", "/x"]), ["a/full", "b/full", "x"]);
        assert_eq!(of(&["/nowhere/full", "/nowhere/b/nowhere/full"]), ["/nowhere/full", "b/nowhere/full"]);
    }
}
