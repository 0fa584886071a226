//! The settings of a run: each has a meaning, a unit, a default and the source of the default.
//!
//! The defaults are the paper's recipe where it states one (section 3.2); what it does not state is marked "ours". A
//! run reads a TOML file and `--set section.key=value` on top of it; `bcreid config` prints this table.

mod check;
mod compare;
mod describe;
mod old_names;
mod settings;
mod synonyms;
mod unknown_key;
mod wrong_type;

pub use old_names::current as current_name;
pub use settings::*;

use crate::data::ImageInput;
use crate::error::{Error, Result, printable};
use crate::files::{MIB, read_argument};
use serde::{Deserialize, Serialize};
use std::path::Path;
use unknown_key::unknown;

/// All settings of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The network.
    pub model: Model,
    /// Size and normalisation of the images.
    pub input: Input,
    /// The batch-contrastive loss.
    pub loss: Loss,
    /// Stochastic gradient descent.
    pub solver: Solver,
    /// Images and batches.
    pub data: Data,
    /// Seed, checkpoints and log of the run.
    pub run: Run,
}

impl Config {
    /// The defaults, then the TOML file, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// An unreadable file; a key that does not exist (the nearest one is named); a value of the wrong type
    /// or out of range.
    pub fn resolve(file: Option<&Path>, settings: &[String]) -> Result<Self> {
        Self::resolve_for(None, file, settings)
    }

    /// As [`Config::resolve`]. Settings that belong to a network's weights (its kind, wiring and input convention) come
    /// from `weights` unless the file or a setting gives them.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_for(weights: Option<&Config>, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let text = match file {
            Some(path) => read_argument(path, MIB)?,
            None => String::new(),
        };
        let base = weights.map(Config::network_table).unwrap_or_default();
        Self::resolve_over(base, &text, file, settings)
    }

    /// The defaults, then a TOML text, then each `section.key=value`, in this order; checked.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn resolve_text(text: &str, settings: &[String]) -> Result<Self> {
        Self::resolve_over(toml::Table::new(), text, None, settings)
    }

    /// `base`, then a TOML text, read from `file`, then each setting. An error names the file or the setting that is
    /// its cause.
    fn resolve_over(base: toml::Table, text: &str, file: Option<&Path>, settings: &[String]) -> Result<Self> {
        let in_file = |error| match file {
            Some(path) => caused_by(error, &path.display().to_string()),
            None => error,
        };
        let mut table = read_table(text).map_err(in_file)?;
        check_types(&table).map_err(in_file)?;
        let in_text = table.clone();
        for (section, defaults) in base {
            let own = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let (Some(own), toml::Value::Table(defaults)) = (own.as_table_mut(), defaults) {
                defaults.into_iter().for_each(|(key, value)| {
                    own.entry(key).or_insert(value);
                });
            }
        }
        let mut given = Vec::new();
        for setting in settings {
            let (key, value) = read_setting(setting).map_err(|e| caused_by(e, &in_words(setting)))?;
            let (section, name) = key.split_once('.').expect("a known key has a section");
            let slot = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            slot.as_table_mut().expect("sections are tables").insert(name.to_string(), value);
            given.push((key, setting));
        }
        let config = Config::deserialize(toml::Value::Table(table))
            .map_err(|e| in_file(Error::Config(one_line(e.message()))))?;
        match config.broken_rule() {
            None => Ok(config),
            Some(rule) => {
                let error = Error::Config(format!("{rule}; given: {}", config.given(rule)));
                let keys = named_in(rule);
                // The last setting of a key holds.
                let setting = given.iter().rev().find(|(key, _)| keys.contains(key));
                Err(match setting {
                    Some((_, setting)) => caused_by(error, &in_words(setting)),
                    None if keys.iter().any(|key| holds(&in_text, key)) => in_file(error),
                    None => error,
                })
            }
        }
    }

    /// The settings in a run folder or checkpoint. All settings are stored there, so an absent one did not exist yet
    /// and has its value of that time: before `loss.reduction` the loss was a sum.
    ///
    /// # Errors
    /// As [`Config::resolve`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let before = toml::toml! { loss = { reduction = "sum" } };
        Self::resolve_over(before, text, None, &[])
    }

    /// The input convention of the network.
    pub fn image_input(&self) -> ImageInput {
        let Input { height, width, channels, scale, mean, std } = self.input;
        ImageInput { height, width, channels, scale, mean, std }
    }

    /// Every setting as TOML.
    ///
    /// # Panics
    /// Never: every setting has a TOML form.
    pub fn to_toml(&self) -> String {
        self.table().to_string()
    }

    /// The settings that belong to a network's weights, as TOML.
    pub fn network_toml(&self) -> String {
        self.network_table().to_string()
    }

    /// Kind, wiring and input convention of the network: weights have no use without them.
    fn network_table(&self) -> toml::Table {
        const MODEL: &[&str] = &["arch", "width", "stem", "depths", "wiring", "last_stride"];
        const INPUT: &[&str] = &["channels", "scale", "mean", "std"];
        let mut table = self.table();
        table.retain(|section, _| ["model", "input"].contains(&section));
        for (section, keys) in [("model", MODEL), ("input", INPUT)] {
            if let Some(section) = table.get_mut(section).and_then(toml::Value::as_table_mut) {
                section.retain(|key, _| keys.contains(&key));
            }
        }
        table
    }

    /// Every setting as a TOML value, numbers in their shortest decimal form.
    fn table(&self) -> toml::Table {
        fn shorten(value: &mut toml::Value) {
            match value {
                toml::Value::Float(number) => {
                    // Settings are f32; 0.1 widened to f64 would be written as 0.10000000149011612.
                    *number = (*number as f32).to_string().parse().unwrap_or(*number);
                }
                toml::Value::Array(values) => values.iter_mut().for_each(shorten),
                toml::Value::Table(table) => table.iter_mut().for_each(|(_, value)| shorten(value)),
                _ => {}
            }
        }
        let mut table = toml::Table::try_from(self).expect("every setting has a TOML form");
        table.iter_mut().for_each(|(_, value)| shorten(value));
        table
    }

    /// Every setting as TOML, each under a comment with its meaning, unit and the source of its default.
    /// Settings that are absent stand commented out.
    pub fn to_commented_toml(&self) -> String {
        let plain = self.table();
        let mut text = String::new();
        let mut section = "";
        let entries = Self::entries();
        for entry in &entries {
            let (own, name) = entry.key.split_once('.').expect("every key has a section");
            if own != section {
                text += &format!("{}[{own}]\n", if section.is_empty() { "" } else { "\n" });
                section = own;
            }
            text += &format!("# {} [{}; {}]\n", entry.text, entry.unit, entry.source);
            text += &match plain.get(own).and_then(|table| table.get(name)) {
                Some(value) => format!("{name} = {value}\n"),
                None => format!("# {name} =\n"),
            };
        }
        text
    }

    /// The table of all settings, in the order of the file.
    pub fn entries() -> Vec<Entry> {
        [
            Model::entries(),
            Input::entries(),
            Loss::entries(),
            Solver::entries(),
            Data::entries(),
            Run::entries(),
        ]
        .concat()
    }
}

/// Reads a TOML text, with old names of settings.
fn read_table(text: &str) -> Result<toml::Table> {
    let mut table: toml::Table = toml::from_str(text).map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        Error::Config(format!("line {line} is not TOML: {}", one_line(e.message())))
    })?;
    old_names::rename(&mut table)?;
    Ok(table)
}

/// Reads a setting `section.key=value`, and checks the key and the type of the value.
fn read_setting(setting: &str) -> Result<(String, toml::Value)> {
    let (key, value) = setting
        .split_once('=')
        .ok_or_else(|| Error::Config("a setting is section.key=value, for example loss.lambda=0".into()))?;
    let key = old_names::current(key.trim());
    let Some((section, name)) = key.split_once('.') else { return Err(unknown(&key)) };
    let value = parse_value(value.trim());
    let own = toml::Table::from_iter([(name.to_string(), value.clone())]);
    check_types(&toml::Table::from_iter([(section.to_string(), toml::Value::Table(own))]))?;
    Ok((key, value))
}

/// Checks that each key exists and each value has its type; one setting at a time, so that an error belongs to its key.
fn check_types(table: &toml::Table) -> Result<()> {
    let keys = Config::entries();
    for (section, content) in table {
        let Some(content) = content.as_table() else { return Err(unknown(section)) };
        for (name, value) in content {
            let key = format!("{section}.{name}");
            let entry = keys.iter().find(|entry| entry.key == key);
            if entry.is_none() {
                return Err(unknown(&key));
            }
            let own = toml::Table::from_iter([(name.clone(), value.clone())]);
            let alone = toml::Table::from_iter([(section.clone(), toml::Value::Table(own))]);
            Config::deserialize(toml::Value::Table(alone))
                .map_err(|e| wrong_type::refusal(entry, &key, value, e.message()))?;
        }
    }
    Ok(())
}

/// The error with the file or the setting that is its cause.
fn caused_by(error: Error, cause: &str) -> Error {
    match error {
        Error::Config(what) => Error::Config(format!("{what} ({cause})")),
        other => other,
    }
}

fn in_words(setting: &str) -> String {
    format!("--set {}", one_line(setting))
}

/// The keys that a rule names.
fn named_in(rule: &str) -> Vec<String> {
    let keys = Config::entries().into_iter().map(|entry| entry.key);
    keys.filter(|key| rule.split([' ', ',']).any(|word| word == key)).collect()
}

/// Whether a table has the setting `key`.
fn holds(table: &toml::Table, key: &str) -> bool {
    let own = key.split_once('.').and_then(|(section, name)| table.get(section)?.get(name));
    own.is_some()
}

/// A value given on the command line: TOML if it reads as TOML, else a string without quotes.
fn parse_value(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_string()))
}

/// A text from elsewhere as one line, shortened.
fn one_line(text: &str) -> String {
    /// Most characters that a message quotes.
    const QUOTED: usize = 200;
    let start: String = text.chars().take(4 * QUOTED).collect();
    let line = start.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_whole = start.len() == text.len() && line.chars().count() <= QUOTED;
    let shown = printable(&line.chars().take(QUOTED).collect::<String>());
    if is_whole { shown } else { shown + "..." }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &[&str]) -> Result<Config> {
        Config::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn the_default_is_the_papers_recipe() {
        let c = Config::default();
        assert_eq!((c.solver.iterations, c.solver.batch, c.solver.lr), (50_000, 16, 0.01));
        assert_eq!(c.solver.lr_milestones, [20_000, 40_000]);
        assert_eq!((c.loss.lambda, c.model.dropout), (1.0, 0.9));
        assert_eq!((c.input.height, c.input.width), (256, 128));
        assert_eq!((c.model.arch, c.loss.gradient), (Arch::Resnet50, Gradient::Paper));
        assert_eq!(c.broken_rule(), None);
    }

    #[test]
    fn settings_override_and_survive_the_round_trip() {
        let c =
            set(&["loss.lambda=0", "model.arch=slim", "loss.center_rate=tied", "model.width=24"]).unwrap();
        assert_eq!((c.loss.lambda, c.model.arch, c.model.width), (0.0, Arch::Slim, Some(24)));
        assert_eq!(c.loss.center_rate, CenterRate::Tied);
        assert_eq!(Config::from_toml(&c.to_toml()).unwrap(), c);
        let text = Config::default().to_toml();
        assert_eq!(Config::from_toml(&text).unwrap(), Config::default());
        assert!(text.contains("lr = 0.01\n") && text.contains("mean = [0.485, 0.456, 0.406]"), "{text}");
        assert_eq!(Config::from_toml(&c.to_commented_toml()).unwrap(), c);
    }

    #[test]
    fn old_names_are_read_from_files_and_settings() {
        let new =
            set(&["solver.lr=0.5", "solver.lr_milestones=[3]", "solver.lr_gamma=0.2", "solver.lr_warmup=7"])
                .unwrap();
        let old =
            ["solver.rate=0.5", "solver.rate_drops=[3]", "solver.rate_factor=0.2", "solver.rate_warmup=7"];
        assert_eq!(set(&old).unwrap(), new);
        let file = "[solver]\nrate = 0.5\nrate_drops = [3]\nrate_factor = 0.2\nrate_warmup = 7\n";
        assert_eq!(Config::resolve_text(file, &[]).unwrap(), new);
        let stored = Config::from_toml(&(file.to_string() + "[loss]\nreduction = \"sum\"\n")).unwrap();
        assert_eq!(stored.solver, new.solver);
        // A setting replaces the file's under either name.
        let settings = ["solver.lr=0.25".to_string()];
        assert_eq!(Config::resolve_text(file, &settings).unwrap().solver.lr, 0.25);
        let error = Config::resolve_text("[solver]\nrate = 1\nlr = 1\n", &[]).unwrap_err().to_string();
        assert!(error.contains("solver.rate is the old name of solver.lr, and both are given"), "{error}");
        assert!(
            new.to_toml().contains("lr_gamma = 0.2") && !new.to_toml().contains("rate_"),
            "{}",
            new.to_toml()
        );
    }

    #[test]
    fn ill_typed_and_out_of_range_values_name_the_key() {
        for (wrong, key) in [
            ("loss.lambda=much", "loss.lambda"),
            ("solver.batch=-4", "solver.batch"),
            ("model.arch=resnet49", "model.arch"),
            ("model.dropout=1.0", "model.dropout"),
            ("loss.center_rate=loose", "loss.center_rate"),
            ("input.mean=[1, 2]", "input.mean"),
            ("solver.lr=nan", "solver.lr"),
            ("data.crop=true", "data.crop"),
            ("data.pk_images=0", "data.pk_images"),
            ("solver.lr_milestones=[5, 5]", "solver.lr_milestones"),
        ] {
            let mut settings = vec![wrong];
            match key {
                "data.crop" => settings.push("data.pad=0"),
                "data.pk_images" => settings.push("data.sampler=pk"),
                _ => {}
            }
            let error = set(&settings).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{wrong}: {error}");
        }
    }

    #[test]
    fn weights_bring_their_network_along_and_nothing_else() {
        let weights = set(&[
            "model.arch=resnet18",
            "model.wiring=caffe",
            "input.channels=bgr",
            "input.scale=1",
            "input.height=64",
            "solver.lr=0.5",
        ])
        .unwrap();
        let resolved =
            Config::resolve_for(Some(&weights), None, &["model.last_stride=1".to_string()]).unwrap();
        let (model, input) = (&resolved.model, &resolved.input);
        assert_eq!((model.arch, model.wiring, model.last_stride), (Arch::Resnet18, Wiring::Caffe, 1));
        assert_eq!((input.channels, input.scale, input.height), (Channels::Bgr, 1.0, 256));
        assert_eq!(resolved.solver, Solver::default());
        assert_eq!(Config::from_toml(&weights.network_toml()).unwrap().model, weights.model);
        let own = Config::resolve_for(Some(&weights), None, &["model.wiring=torchvision".into()]).unwrap();
        assert_eq!(own.model.wiring, Wiring::Torchvision);
    }

    #[test]
    fn a_difference_names_the_setting_and_some_may_differ() {
        let base = Config::default();
        assert_eq!(base.difference(&set(&["run.log_every=7", "solver.iterations=9"]).unwrap()), None);
        let other = set(&["loss.tau=0.7", "data.workers=2"]).unwrap();
        let difference = base.difference(&other).unwrap();
        assert!(difference.contains("loss.tau is 0.3 here"), "{difference}");
        assert!(base.difference(&set(&["model.width=8"]).unwrap()).unwrap().contains("absent here and 8"));
    }

    #[test]
    fn what_others_wrote_stays_on_one_line() {
        for text in ["[loss]\nlambda = \"a\\nb\\u001b[2J\"", "[\"lo\\n\\u001bss\"]\nx = 1"] {
            let error = Config::from_toml(text).unwrap_err().to_string();
            assert!(!error.contains(char::is_control) && error.contains("\\u{1b}"), "{error}");
        }
    }

    #[test]
    fn changes_are_what_is_not_the_default() {
        assert!(Config::default().changes(&[]).is_empty());
        let changed =
            set(&["solver.iterations=9", "run.seed=3", "data.workers=2", "model.arch=slim"]).unwrap();
        assert_eq!(changed.changes(&[]), ["model.arch = \"slim\"", "solver.iterations = 9"]);
        assert_eq!(changed.changes(&["model.arch"]), ["solver.iterations = 9"]);
    }

    #[test]
    fn stored_settings_older_than_the_reduction_are_of_sums() {
        let mean = set(&["loss.reduction=mean"]).unwrap();
        assert_eq!(Config::from_toml(&mean.to_toml()).unwrap(), mean);
        let older = mean.to_toml().replace("reduction = \"mean\"\n", "");
        assert_eq!(Config::from_toml(&older).unwrap().loss.reduction, Reduction::Sum);
        assert_eq!(Config::from_toml("").unwrap().loss.reduction, Reduction::Sum);
    }

    #[test]
    fn an_error_names_the_file_or_the_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display().to_string();
        let cause = |text: &str, settings: &[&str]| {
            std::fs::write(file.path(), text).unwrap();
            let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
            Config::resolve(Some(file.path()), &settings).unwrap_err().to_string()
        };
        for text in
            ["[loss]\nlambda = -1", "[loss]\nlambda = true", "[loss]\nlamda = 1", "[loss", "[x]\ny = 1"]
        {
            let error = cause(text, &["solver.lr=0.5"]);
            assert!(error.ends_with(&format!("({path})")), "{error}");
        }
        for setting in ["loss.lambda=-1", "loss.lambda=true", "loss.lamda=1", "lambda", "solver.rate=inf"] {
            let error = cause("[loss]\ntau = 0.5\n[solver]\nlr = 1\n", &["run.seed=1", setting]);
            assert!(error.ends_with(&format!("(--set {setting})")), "{error}");
        }
        let error = cause("[data]\ncrop = true\n", &["data.pad=0"]);
        assert!(error.contains("given: data.pad = 0, data.crop = true (--set data.pad=0)"), "{error}");
        // The setting replaces the file's value, which is not read.
        std::fs::write(file.path(), "[loss]\nlambda = -1").unwrap();
        assert!(Config::resolve(Some(file.path()), &["loss.lambda=1".into()]).is_ok());
        let error = cause("", &["solver.lr=inf"]);
        assert!(error.contains("solver.lr must be above 0 and finite; given: solver.lr = inf"), "{error}");
    }

    #[test]
    fn a_fault_in_the_file_names_its_line() {
        let error = Config::from_toml("[loss]\nlambda = 1\ntau = = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 3"), "{error}");
    }
}
