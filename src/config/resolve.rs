//! Settings from their sources, one over the other; an error names the file or the setting that is its cause.

use super::unknown_key::{unknown, unknown_section};
use super::{Config, Entry, keys, old_names, one_line, wrong_type};
use crate::{Error, Result};
use serde::Deserialize;

/// A text of settings, with its place for errors: a path, or `recipe bot`.
#[derive(Debug)]
pub(super) struct Layer {
    pub text: String,
    pub place: Option<String>,
}

impl Layer {
    /// A text without a place.
    pub fn text(text: &str) -> Self {
        Layer { text: text.into(), place: None }
    }

    fn read(&self) -> Result<toml::Table> {
        let table = read_table(&self.text).and_then(|table| check_types(&table).map(|()| table));
        table.map_err(|error| self.named(error))
    }

    /// The error with the place that is its cause.
    fn named(&self, error: Error) -> Error {
        match &self.place {
            Some(place) => caused_by(error, place),
            None => error,
        }
    }
}

impl Config {
    /// `base`, then each text of `layers`, then each setting. An error names the text or the setting that is its cause.
    pub(super) fn resolve_over(base: toml::Table, layers: &[Layer], settings: &[String]) -> Result<Self> {
        let mut table = base;
        let mut texts = Vec::new();
        for layer in layers {
            let own = layer.read()?;
            for (key, value) in keys::settings(&own) {
                keys::insert(&mut table, &key, value.clone());
            }
            texts.push((layer, own));
        }
        let mut given = Vec::new();
        for setting in settings {
            let (key, value) = read_setting(setting).map_err(|e| caused_by(e, &in_words(setting)))?;
            let spelt = |setting: &str| setting.split('=').next().unwrap_or_default().trim().to_string();
            // The last setting of a key holds, but a person who gives two names means two settings.
            let twice = given
                .iter()
                .find(|(own, other): &&(String, &String)| *own == key && spelt(other) != spelt(setting));
            if let Some((_, other)) = twice {
                let [one, two] = [other, setting].map(|text| in_words(text));
                return Err(Error::Config(format!(
                    "{one} and {two} are one setting, {key}, by its old and its current name; leave one of them out"
                )));
            }
            keys::insert(&mut table, &key, value);
            given.push((key, setting));
        }
        let config = Config::deserialize(toml::Value::Table(table)).map_err(|e| {
            let error = Error::Config(one_line(e.message()));
            match layers.last() {
                Some(layer) => layer.named(error),
                None => error,
            }
        })?;
        match config.broken_rule() {
            None => Ok(config),
            Some(rule) => {
                let error = Error::Config(format!("{rule}; given: {}", config.given(&rule)));
                let named = named_in(&rule);
                // The last setting of a key holds, and the last text with one.
                if let Some((_, setting)) = given.iter().rev().find(|(key, _)| named.contains(key)) {
                    return Err(caused_by(error, &in_words(setting)));
                }
                let holds_one = |table: &toml::Table| named.iter().any(|key| keys::get(table, key).is_some());
                Err(match texts.iter().rev().find(|(_, table)| holds_one(table)) {
                    Some((layer, _)) => layer.named(error),
                    None => error,
                })
            }
        }
    }
}

/// The settings in the text of a run folder's file, with their current names and their values as TOML. Neither names
/// nor values are checked, so that runs of other versions can be shown.
///
/// # Errors
/// A text that is no TOML; a setting that is given under its old and its current name.
pub fn stored_settings(text: &str) -> Result<Vec<(String, String)>> {
    let table = read_table(text)?;
    Ok(keys::settings(&table).into_iter().map(|(key, value)| (key, value.to_string())).collect())
}

/// The tip for a file in YAML, as the settings of other toolboxes are.
const YAML: &str = "; it seems to be YAML: settings are TOML as bcreid config prints them, with a [section] and \
                    key = value, and docs/other-toolboxes.md has the names of other toolboxes";

/// True if a line of a text, counted from 1, is one of YAML: a document's start, a key with a colon, or an item.
fn is_yaml(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line - 1).unwrap_or_default().trim();
    let is_key = |key: &str| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    let has_key = line
        .split_once(':')
        .is_some_and(|(key, value)| is_key(key.trim_end()) && (value.is_empty() || value.starts_with(' ')));
    line == "---" || line.starts_with("- ") || has_key
}

/// Reads a TOML text, with old names of settings.
fn read_table(text: &str) -> Result<toml::Table> {
    let mut table: toml::Table = toml::from_str(text).map_err(|e: toml::de::Error| {
        let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        let tip = if is_yaml(text, line) { YAML } else { "" };
        Error::Config(format!("line {line} is not TOML: {}{tip}", one_line(e.message())))
    })?;
    old_names::rename(&mut table)?;
    Ok(table)
}

/// Reads a setting `section.key=value`, and checks the key and the type of the value.
fn read_setting(setting: &str) -> Result<(String, toml::Value)> {
    let (key, value) = setting.split_once('=').ok_or_else(|| {
        Error::Config("a setting is section.key=value, for example loss.batch_contrastive.weight=0".into())
    })?;
    let key = old_names::current(key.trim());
    let value = parse_value(value.trim());
    check_type(&Config::entries(), &key, &value)?;
    Ok((key, value))
}

/// Checks that each key exists and each value has its type; one setting at a time, so that an error belongs to its key.
fn check_types(table: &toml::Table) -> Result<()> {
    let entries = Config::entries();
    keys::settings(table).into_iter().try_for_each(|(key, value)| check_type(&entries, &key, value))
}

/// Checks that a key exists and that its value has the type of the setting.
fn check_type(entries: &[Entry], key: &str, value: &toml::Value) -> Result<()> {
    let entry = entries.iter().find(|entry| entry.key == key).ok_or_else(|| match value.is_table() {
        true => unknown_section(key),
        false => unknown(key),
    })?;
    Config::deserialize(toml::Value::Table(keys::alone(key, value.clone())))
        .map(drop)
        .map_err(|e| wrong_type::refusal(entry, value, e.message()))
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
pub(super) fn named_in(rule: &str) -> Vec<String> {
    let keys = Config::entries().into_iter().map(|entry| entry.key);
    keys.filter(|key| rule.split([' ', ',']).any(|word| word == key)).collect()
}

/// A value given on the command line: TOML if it reads as TOML, else a string without quotes.
fn parse_value(text: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("v = {text}"))
        .ok()
        // A second line would be another setting.
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| toml::Value::String(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for setting in [
            "loss.batch_contrastive.weight=-1",
            "loss.batch_contrastive.weight=true",
            "loss.lamda=1",
            "lambda",
            "solver.rate=inf",
        ] {
            let error = cause("[loss]\ntau = 0.5\n[solver]\nlr = 1\n", &["run.seed=1", setting]);
            assert!(error.ends_with(&format!("(--set {setting})")), "{error}");
        }
        let error = cause("[data]\ncrop = true\n", &["data.pad=0"]);
        assert!(error.contains("given: data.pad = 0, data.crop = true (--set data.pad=0)"), "{error}");
        // Of several texts the last with a key of the rule is its cause.
        let layers = ["[data]\ncrop = true\n", "[data]\npad = 0\n", "[solver]\nlr = 1\n"];
        let layers: Vec<Layer> =
            (0..3).map(|at| Layer { text: layers[at].into(), place: Some(format!("text {at}")) }).collect();
        let resolved = |layers: &[Layer]| Config::resolve_over(toml::Table::new(), layers, &[]);
        let error = resolved(&layers).unwrap_err().to_string();
        assert!(error.ends_with("given: data.pad = 0, data.crop = true (text 1)"), "{error}");
        assert_eq!(resolved(&layers[2..]).unwrap().solver.lr, 1.0);
        // The setting replaces the file's value, which is not read.
        std::fs::write(file.path(), "[loss]\nlambda = -1").unwrap();
        assert!(Config::resolve(Some(file.path()), &["loss.batch_contrastive.weight=1".into()]).is_ok());
        let error = cause("", &["solver.lr=inf"]);
        assert!(error.contains("solver.lr must be above 0 and finite; given: solver.lr = inf"), "{error}");
    }
}
