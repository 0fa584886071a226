//! Starts of a study's runs: random weights, or the weights of files; several starts can be compared.

use super::names::{LAMBDA, fault_of_name, folder_part, name_and_file};
use crate::config::Config;
use crate::error::{excerpt, printable};
use crate::run::weight_file;
use crate::weights::provenance::{Conversion, Text};
use crate::weights::{NetworkFile, Provenance};
use crate::{Error, Result, tell};
use std::path::{Path, PathBuf};

/// Name of the start with random weights.
pub const RANDOM: &str = "random";
/// Largest number of letters of a file's metadata that a note quotes.
const QUOTED: usize = 200;

/// A start: initial weights, with the settings that follow from them.
#[derive(Debug)]
pub struct Start {
    /// Name in tables and in folders' names; `None` in a study that does not compare starts.
    pub name: Option<String>,
    /// Weights; `None` for random weights, drawn from each run's seed.
    pub weights: Option<NetworkFile>,
    /// Settings of the runs. Kind and wiring of the network and its input convention are those of the weights, unless
    /// the settings' file or a setting says otherwise; random weights have the defaults.
    pub config: Config,
    /// Fingerprint of the weights, by [`NetworkFile::fingerprint`].
    pub(super) fingerprint: Option<String>,
}

impl Start {
    /// Creates the only start of a study, with settings as for [`Config::resolve_for`].
    ///
    /// # Errors
    /// As [`Config::resolve_for`].
    pub fn only(weights: Option<NetworkFile>, files: &[PathBuf], settings: &[String]) -> Result<Self> {
        let config = Config::resolve_for(weights.as_ref().map(NetworkFile::config), files, settings)?;
        let fingerprint = weights.as_ref().map(NetworkFile::fingerprint);
        Ok(Start { name: None, weights, config, fingerprint })
    }

    /// Creates the starts to compare: each text is `random`, a file of weights, or `NAME=FILE`. Without NAME, the start
    /// has the name of the file, or for `RUN/weights.safetensors` the name of the run folder.
    ///
    /// # Errors
    /// A file that is missing or has no weights; two starts of one name, or with the same weights; errors of
    /// [`Config::resolve_for`].
    pub fn several(texts: &[String], files: &[PathBuf], settings: &[String]) -> Result<Vec<Self>> {
        let texts: Vec<&str> = texts.iter().map(|text| text.trim()).collect();
        let mut starts: Vec<Start> = Vec::new();
        for text in &texts {
            let (name, weights) = open(text)?;
            let start = Start { name: Some(name), ..Start::only(weights, files, settings)? };
            for (other, earlier) in starts.iter().zip(&texts) {
                let fault = |what: String| Err(Error::Config(format!("--start {earlier},{text}: {what}")));
                if earlier == text {
                    return fault(format!("{text} is given twice; give it once"));
                }
                // Some file systems do not distinguish upper and lower case.
                if start.label().eq_ignore_ascii_case(other.label()) {
                    let path = text.strip_prefix(start.label()).and_then(|rest| rest.strip_prefix('='));
                    return fault(format!(
                        "two starts have the name {}; give one of them another name: NAME={}",
                        start.label(),
                        path.unwrap_or(text)
                    ));
                }
                if start.fingerprint == other.fingerprint {
                    return fault(format!(
                        "{} and {} are the same weights; give them once",
                        other.label(),
                        start.label()
                    ));
                }
            }
            starts.push(start);
        }
        Ok(starts)
    }

    /// Settings for these weights from other files, by [`Config::resolve_for`].
    ///
    /// # Errors
    /// As [`Config::resolve_for`].
    pub(super) fn with_settings(&self, files: &[PathBuf], settings: &[String]) -> Result<Config> {
        Config::resolve_for(self.weights.as_ref().map(NetworkFile::config), files, settings)
    }

    /// Name of the start, or `random` or `weights` if it has none.
    pub fn label(&self) -> &str {
        match (&self.name, &self.weights) {
            (Some(name), _) => name,
            (None, None) => RANDOM,
            (None, Some(_)) => "weights",
        }
    }

    /// Part of a folder's name that names the start, if starts are compared.
    pub(super) fn folder_part(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("start-{name}"))
    }

    /// Checks that the weights fit the network of `config`, so that an error appears before the first run.
    ///
    /// # Errors
    /// As [`NetworkFile::check_start`].
    pub(super) fn check(&self, config: &Config) -> Result<()> {
        let Some(weights) = &self.weights else { return Ok(()) };
        weights.check_start(config)
    }

    /// Description for the notes of a table: the file, its source and its licence.
    pub(super) fn describe(&self) -> String {
        let Some(weights) = &self.weights else {
            return "random weights, where the paper starts from ImageNet's".into();
        };
        let file = weights.tensors();
        let file = printable(&file.path().display().to_string());
        let conversion = match weights.provenance() {
            Provenance::Converted(conversion) => *conversion,
            Provenance::NotRecorded => Conversion::default(),
            other => return format!("the weights {file} ({other})"),
        };
        let shown = |text: Option<Text>| text.map(|text| excerpt(&text.to_string(), QUOTED));
        let [source, sha256, licence] = [conversion.file, conversion.sha256, conversion.licence].map(shown);
        let source = match (source, sha256) {
            (Some(source), Some(sha256)) => format!("made from {source}, SHA-256 {sha256}"),
            (Some(source), None) => format!("made from {source}"),
            (None, _) => "source not stated in it".into(),
        };
        let licence =
            licence.map_or("licence not stated in it".into(), |licence| format!("licence {licence}"));
        format!("the weights {file} ({source}; {licence})")
    }
}

/// Reads the name and the weights of a start.
fn open(text: &str) -> Result<(String, Option<NetworkFile>)> {
    if text == RANDOM {
        return Ok((RANDOM.into(), None));
    }
    let (name, path) = name_and_file(text);
    let fault = |what: String| Error::Config(format!("--start {text}: {what}"));
    if text.is_empty() {
        return Err(Error::Config(
            "--start: an item is empty; give a start before and after every comma".into(),
        ));
    }
    if path.as_os_str().is_empty() {
        return Err(fault(
            "there is no file after the =; give random, a file of weights, or NAME=FILE".into(),
        ));
    }
    if !path.exists() {
        return Err(fault(format!(
            "there is no file {}; give random, a run, a file of weights, or NAME=FILE",
            path.display()
        )));
    }
    let (file, note) = weight_file(path)?;
    let weights = NetworkFile::open(&file)?;
    if let Some(note) = note {
        tell!("{note}");
    }
    if let Some(what) = name.and_then(|name| fault_of_name(name, "start")) {
        return Err(fault(what));
    }
    let name = name.map_or_else(|| name_of(path), String::from);
    if name.eq_ignore_ascii_case(RANDOM) {
        return Err(fault(format!("{RANDOM} is the name of the start without weights; write NAME=FILE")));
    }
    Ok((name, Some(weights)))
}

/// Name of the start with a run or a file of weights.
fn name_of(path: &Path) -> String {
    let whole: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if whole.is_dir() {
        return folder_part(&whole.file_name().unwrap_or_default().to_string_lossy());
    }
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = stem(path);
    if name != "weights" {
        return folder_part(&name);
    }
    let folder = whole.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy().into_owned());
    folder_part(&folder.unwrap_or(name))
}

/// Notes on the runs of a study: the starts, the settings that are not the defaults, and the reading of the loss
/// where the paper is ambiguous. `varied` are the settings that differ between the recipes.
pub(super) fn notes(starts: &[Start], varied: &[String]) -> Vec<String> {
    let varied: Vec<&str> = varied.iter().map(String::as_str).collect();
    let changes: Vec<Vec<String>> = starts.iter().map(|start| start.config.changes(&varied)).collect();
    let is_common = |change: &String| changes.iter().all(|own| own.contains(change));
    let mut notes = Vec::new();
    for (start, changes) in starts.iter().zip(&changes) {
        let own: Vec<&str> = changes.iter().filter(|c| !is_common(c)).map(String::as_str).collect();
        let own = if own.is_empty() { String::new() } else { format!(", with {}", own.join(", ")) };
        notes.push(match &start.name {
            Some(name) => format!("Start {name}: {}{own}.", start.describe()),
            None => format!("Start: {}{own}.", start.describe()),
        });
    }
    let common: Vec<String> =
        changes.first().into_iter().flatten().filter(|c| is_common(c)).cloned().collect();
    let defaults = "the defaults, which are the paper's where it states them (bcreid config)";
    notes.push(match common.is_empty() {
        true => format!("Settings: {defaults}."),
        false => format!("Settings: {defaults}, but {}.", common.join(", ")),
    });
    notes.extend(starts.first().map(|start| {
        let loss = &start.config.loss;
        match loss.batch_contrastive.weight == 0.0 && !varied.contains(&LAMBDA) {
            true => format!("Loss: {}.", loss.describe()),
            false => format!("Reading of the batch-contrastive loss: {}.", loss.reading(&varied)),
        }
    }));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::model::Model;
    use crate::weights::{model_tensors, network, write_tensors};

    const SLIM: [&str; 3] = ["model.arch=slim", "model.width=8", "model.depths=[1, 1, 1, 1]"];

    fn settings(more: &[&str]) -> Vec<String> {
        more.iter().map(|setting| setting.to_string()).collect()
    }

    /// Weights of a slim network, drawn from `seed`.
    fn write(file: &Path, seed: u64, more: &[(&str, &str)]) {
        let mut config = Config::resolve(None, &settings(&SLIM)).unwrap();
        config.run.seed = seed;
        let (_, params) = Model::new(&config, 3, &Device::cpu()).unwrap();
        let mut metadata = network::metadata(config.network_toml());
        metadata.extend(more.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        write_tensors(file, &model_tensors(&params).unwrap(), &metadata).unwrap();
    }

    #[test]
    fn starts_are_named_after_their_files_or_as_one_likes() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let origin = [("source", "resnet\n50.pth"), ("source_sha256", "ab12"), ("licence", "BSD-3-Clause")];
        write(&file("resnet50.safetensors"), 1, &origin);
        write(&file("runs/market/weights.safetensors"), 2, &[]);
        write(&file("other/resnet50.safetensors"), 3, &[]);
        write(&file("random.safetensors"), 4, &[]);
        let open = |texts: &[String]| {
            Start::several(texts, &[], &settings(&["solver.iterations=9", "loss.batch_contrastive.tau=1"]))
        };
        let text = |name: &str| file(name).display().to_string();
        let starts = open(&[
            "random".into(),
            text("resnet50.safetensors"),
            text("runs/market/weights.safetensors"),
            format!("mine={}", text("other/resnet50.safetensors")),
        ])
        .unwrap();
        let names: Vec<&str> = starts.iter().map(Start::label).collect();
        assert_eq!(names, ["random", "resnet50", "market", "mine"]);
        // The network is each file's own, the rest is shared.
        assert_eq!(starts[0].config.model, Config::default().model);
        assert_eq!((starts[1].config.model.width, starts[1].config.solver.iterations), (Some(8), 9));
        let said = notes(&starts, &[]).join("\n");
        for words in [
            "Start random: random weights, where the paper starts from ImageNet's.",
            "resnet50.safetensors (made from resnet\\n50.pth, SHA-256 ab12; licence BSD-3-Clause), with model.arch = \
             \"slim\"",
            "(source not stated in it; licence not stated in it)",
            "solver.iterations = 9",
            "Reading of the batch-contrastive loss: sum over the batch, margin tau 1, gradient of equation (8), \
             centers at rate 0.5.",
        ] {
            assert!(said.contains(words), "{words}\n{said}");
        }
        assert!(
            notes(&starts, &["loss.batch_contrastive.tau".into()]).join("\n").contains("tau as in the table")
        );
        let without = [Start::only(None, &[], &settings(&["loss.batch_contrastive.weight=0"])).unwrap()];
        assert!(notes(&without, &[]).join("\n").contains("Loss: softmax alone"));
        assert!(notes(&without, &[LAMBDA.into()]).join("\n").contains("Reading of the"));

        for (texts, words) in [
            (
                vec![text("resnet50.safetensors"), text("other/resnet50.safetensors")],
                "two starts have the name",
            ),
            (
                vec![text("resnet50.safetensors"), format!("b={}", text("resnet50.safetensors"))],
                "same weights",
            ),
            (vec!["random".into(), "random".into()], "--start random,random: random is given twice"),
            (
                vec![
                    format!("a={}", text("resnet50.safetensors")),
                    format!("A={}", text("random.safetensors")),
                ],
                "two starts have the name A; give one of them another name: NAME=/",
            ),
            (
                vec!["random".into(), format!("RANDOM={}", text("random.safetensors"))],
                "is the name of the start",
            ),
            (vec![text("random.safetensors")], "write NAME=FILE"),
            (vec!["Random".into()], "there is no file Random; give random"),
            (vec![format!("a/b={}", text("resnet50.safetensors"))], "underscore instead of a/b"),
            (vec![format!("{}={}", "a".repeat(41), text("resnet50.safetensors"))], "at most 40 letters"),
            (vec![format!("={}", text("resnet50.safetensors"))], "no name before the ="),
            (vec!["a=".into()], "no file after the ="),
            (vec!["random".into(), " ".into()], "an item is empty"),
            (vec![text("runs")], "not a run folder: it has no config.toml"),
        ] {
            let error = open(&texts).unwrap_err().line();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn weights_of_another_network_are_refused_before_the_first_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("slim.safetensors");
        write(&file, 1, &[]);
        let check = |more: &[&str]| {
            let start = Start::only(Some(NetworkFile::open(&file).unwrap()), &[], &settings(more)).unwrap();
            start.check(&start.config)
        };
        check(&[]).unwrap();
        assert!(check(&["model.wiring=caffe"]).unwrap_err().to_string().contains("model.wiring"));
        assert!(check(&["model.width=16"]).unwrap_err().to_string().contains("another model"));
    }
}
