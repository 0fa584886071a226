//! Recipes and what tells them apart: which settings matter, and what their folders are called.

use super::start::Start;
use super::{Recipe, Setting};
use crate::Result;
use crate::config::Config;
use crate::error::printable;

/// The key under which starts are varied; it is no setting.
pub const START: &str = "start";
/// The weight of the batch-contrastive loss.
pub const LAMBDA: &str = "loss.lambda";
/// The settings of the batch-contrastive loss: where lambda is 0, the others change nothing.
const OF_THE_LOSS: [&str; 6] =
    [LAMBDA, "loss.tau", "loss.center_rate", "loss.reduction", "loss.gradient", "loss.lambda_warmup"];
/// Letters of a value in a folder's name, at most.
const LETTERS: usize = 40;

/// Whether a key is a setting of the batch-contrastive loss.
pub fn is_of_the_loss(key: &str) -> bool {
    OF_THE_LOSS.contains(&key)
}

/// `config` with lambda 0 and the loss's other settings as in `base`, where they cannot matter: recipes without the
/// loss that differ in nothing else are one.
pub(super) fn without_loss(config: &Config, base: &Config) -> Result<Config> {
    let idle = OF_THE_LOSS.iter().filter(|key| **key != LAMBDA);
    let mut settings: Vec<String> =
        idle.filter_map(|key| value_of(base, key).map(|value| format!("{key}={value}"))).collect();
    settings.push(format!("{LAMBDA}=0"));
    Config::resolve_text(&config.to_toml(), &settings)
}

/// Whether a run that is there has these settings, but for those that change nothing because lambda is 0: a baseline
/// that was run with another reduction is the same one.
pub(super) fn is_same_run(there: &Config, config: &Config) -> Result<bool> {
    match there.loss.lambda == 0.0 && config.loss.lambda == 0.0 {
        true => Ok(without_loss(there, config)? == *config),
        false => Ok(there == config),
    }
}

/// A setting's value as a person writes it; none if there is no such key, or it is absent.
pub(super) fn value_of(config: &Config, key: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(&config.to_toml()).ok()?;
    let (section, name) = key.split_once('.')?;
    match table.get(section)?.get(name)? {
        toml::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Recipes, each once.
#[derive(Default)]
pub(super) struct Recipes(pub Vec<Recipe>);

impl Recipes {
    /// The place of the recipe with this start and these settings.
    pub fn find(&self, start: usize, config: &Config) -> Option<usize> {
        self.0.iter().position(|known| known.start == start && known.config == *config)
    }

    /// As [`Recipes::find`], put there under this name if it is not.
    pub fn place(&mut self, start: usize, config: Config, name: impl FnOnce() -> String) -> usize {
        self.find(start, &config).unwrap_or_else(|| {
            self.0.push(Recipe { name: name(), start, config });
            self.0.len() - 1
        })
    }
}

/// The name of a recipe's folder: what is varied, in an order that does not depend on the command line, and the start.
/// Settings of the loss are called by their last name, others by their whole one.
pub(super) fn name_of(values: &[Setting], start: &Start) -> String {
    let mut parts: Vec<(usize, String)> = Vec::new();
    for Setting { key, value } in values.iter().filter(|value| value.key != START) {
        let place = OF_THE_LOSS.iter().position(|known| known == key).unwrap_or(OF_THE_LOSS.len());
        let short = key.strip_prefix("loss.").unwrap_or(key);
        // The baseline has one name, however its 0 was written.
        let zero = key == LAMBDA && value.parse::<f64>() == Ok(0.0);
        let value = if zero { "0".to_string() } else { folder_part(value) };
        parts.push((place, format!("{short}-{value}")));
    }
    parts.sort();
    let parts = parts.into_iter().map(|(_, part)| part).chain(start.folder_part());
    parts.collect::<Vec<_>>().join("+")
}

/// A text as a part of a folder's name. What has other letters than A-Z, a-z, 0-9, dot, plus, hyphen and underscore, or
/// more than forty, is cut and ends in a checksum, so that two texts keep two names.
pub(super) fn folder_part(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
    if text.len() <= LETTERS && text.chars().all(plain) {
        return text.to_string();
    }
    let kept: String = text.chars().filter(|c| !c.is_whitespace()).take(LETTERS).collect();
    let kept: String = kept.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("{kept}-{:08x}", crc32fast::hash(text.as_bytes()))
}

/// Settings in words: `tau 0.3, solver.batch 32, start random`.
pub(super) fn in_words(values: &[Setting]) -> String {
    let part = |Setting { key, value }: &Setting| {
        format!("{} {}", key.strip_prefix("loss.").unwrap_or(key), printable(value))
    };
    values.iter().map(part).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_plain_names_and_two_values_two_of_them() {
        for (one, other) in [("[8, 10]", "[8,10]"), ("a/b", "a_b"), ("../x", ".._x")] {
            assert_ne!(folder_part(one), folder_part(other));
        }
        let long = folder_part(&"9".repeat(300));
        assert!(long.len() < 60 && !folder_part("../x/\n").contains(['/', '\n']), "{long}");
        assert_eq!(folder_part("1e+5"), "1e+5");
    }

    #[test]
    fn without_the_loss_its_settings_do_not_matter() {
        let of = |settings: &[&str]| {
            Config::resolve(None, &settings.iter().map(|s| s.to_string()).collect::<Vec<_>>()).unwrap()
        };
        let base = of(&["loss.tau=0.5", "loss.center_rate=tied"]);
        let other = of(&["loss.tau=1", "loss.reduction=mean", "loss.lambda_warmup=9", "solver.batch=8"]);
        let twin = of(&["loss.lambda=0", "loss.tau=0.5", "loss.center_rate=tied", "solver.batch=8"]);
        assert_eq!(without_loss(&other, &base).unwrap(), twin);
        let zero = of(&["loss.lambda=0"]);
        assert!(is_same_run(&of(&["loss.lambda=0", "loss.reduction=mean"]), &zero).unwrap());
        assert!(!is_same_run(&of(&["loss.lambda=0", "solver.batch=8"]), &zero).unwrap());
        assert!(!is_same_run(&of(&["loss.reduction=mean"]), &of(&["loss.reduction=sum"])).unwrap());
        assert!(!is_same_run(&of(&[]), &zero).unwrap());
    }
}
