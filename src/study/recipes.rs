//! Identity of recipes: the settings that affect results, and the names of the recipes' folders.

use super::names::{LAMBDA, START, folder_part, short};
use super::start::Start;
use super::{Recipe, Setting};
use crate::config::{BatchContrastiveLoss, Config, Loss, Run};
use crate::error::printable;

/// Keys of the settings of the batch-contrastive loss; where lambda is 0, the others have no effect.
const OF_THE_LOSS: [&str; 6] = [
    LAMBDA,
    "loss.batch_contrastive.tau",
    "loss.batch_contrastive.center_rate",
    "loss.batch_contrastive.reduction",
    "loss.batch_contrastive.gradient",
    "loss.batch_contrastive.warmup",
];
/// Largest number of differing settings that an error names.
const DIFFERENCES: usize = 3;

/// True if a key is a setting of the batch-contrastive loss.
pub fn is_of_the_loss(key: &str) -> bool {
    OF_THE_LOSS.contains(&key)
}

/// `config` with lambda 0, and the loss's other settings as in `base`: they have no effect, so recipes without the loss
/// that differ only in them become one.
pub(super) fn without_loss(config: &Config, base: &Config) -> Config {
    let batch_contrastive = BatchContrastiveLoss { weight: 0.0, ..base.loss.batch_contrastive.clone() };
    Config { loss: Loss { batch_contrastive, ..config.loss.clone() }, ..config.clone() }
}

/// `config` with the defaults for every setting without effect on results: the settings of a run's execution, and,
/// where lambda is 0, those of the loss. Two runs with equal effective settings have equal results.
pub(super) fn effective(config: &Config) -> Config {
    let plain = Config::default();
    let mut own = match config.loss.batch_contrastive.weight == 0.0 {
        true => without_loss(config, &plain),
        false => config.clone(),
    };
    own.run = Run { seed: config.run.seed, ..plain.run };
    (own.data.workers, own.data.cache_mib) = (plain.data.workers, plain.data.cache_mib);
    own
}

/// As [`effective`], with seed 0: equal for all runs of a recipe.
pub(super) fn identity(config: &Config) -> Config {
    let mut own = effective(config);
    own.run.seed = 0;
    own
}

/// Differences between the settings of an existing run and the settings `asked`, in words: `solver.lr is 0.01 there
/// and 0.5 here`; `None` if both have equal results.
pub(super) fn difference(there: &Config, asked: &Config) -> Option<String> {
    let differences = effective(there).differences(&effective(asked));
    let words =
        |(key, there, asked): &(String, String, String)| format!("{key} is {there} there and {asked} here");
    let shown: Vec<String> = differences.iter().take(DIFFERENCES).map(words).collect();
    let more = match differences.len().saturating_sub(DIFFERENCES) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    (!shown.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}

/// Value of a setting as text without quotes; `None` if there is no such key, or it is absent.
pub(super) fn value_of(config: &Config, key: &str) -> Option<String> {
    match config.value(key)? {
        toml::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// List of distinct recipes.
#[derive(Default)]
pub(super) struct Recipes(pub Vec<Recipe>);

impl Recipes {
    /// Index of the recipe with this start and these settings.
    pub fn find(&self, start: usize, config: &Config) -> Option<usize> {
        let own = identity(config);
        self.0.iter().position(|known| known.start == start && identity(&known.config) == own)
    }

    /// As [`Recipes::find`]; a missing recipe is added with this name.
    pub fn find_or_add(&mut self, start: usize, config: Config, name: impl FnOnce() -> String) -> usize {
        self.find(start, &config).unwrap_or_else(|| {
            self.0.push(Recipe { name: name(), start, config });
            self.0.len() - 1
        })
    }
}

/// Name of a recipe's folder: the varied settings, in an order that does not depend on the command line, and the start.
/// Settings of the loss have their key without `loss.`, others their whole key.
pub(super) fn name_of(values: &[Setting], start: &Start) -> String {
    let mut parts: Vec<(usize, String)> = Vec::new();
    for Setting { key, value } in values.iter().filter(|value| value.key != START) {
        let place = OF_THE_LOSS.iter().position(|known| known == key).unwrap_or(OF_THE_LOSS.len());
        // All spellings of 0 give the baseline one name.
        let zero = key == LAMBDA && value.parse::<f64>() == Ok(0.0);
        let value = if zero { "0".to_string() } else { folder_part(value) };
        parts.push((place, format!("{}-{value}", short(key))));
    }
    parts.sort();
    let parts = parts.into_iter().map(|(_, part)| part).chain(start.folder_part());
    parts.collect::<Vec<_>>().join("+")
}

/// Formats settings in words: `tau 0.3, solver.batch 32, start random`.
pub(super) fn in_words(values: &[Setting]) -> String {
    let part = |Setting { key, value }: &Setting| format!("{} {}", short(key), printable(value));
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
        let base = of(&["loss.batch_contrastive.tau=0.5", "loss.batch_contrastive.center_rate=tied"]);
        let other = of(&[
            "loss.batch_contrastive.tau=1",
            "loss.batch_contrastive.reduction=mean",
            "loss.batch_contrastive.warmup=9",
            "solver.batch=8",
        ]);
        let twin = of(&[
            "loss.batch_contrastive.weight=0",
            "loss.batch_contrastive.tau=0.5",
            "loss.batch_contrastive.center_rate=tied",
            "solver.batch=8",
        ]);
        assert_eq!(without_loss(&other, &base), twin);
        for (there, asked, words) in [
            (
                &["loss.batch_contrastive.weight=0", "loss.batch_contrastive.reduction=mean"][..],
                &["loss.batch_contrastive.weight=0"][..],
                None,
            ),
            (&["run.log_every=7", "data.workers=3", "data.cache_mib=9"], &[], None),
            (
                &["loss.batch_contrastive.weight=0", "solver.batch=8"],
                &["loss.batch_contrastive.weight=0"],
                Some("solver.batch is 8 there and 16 here"),
            ),
            (
                &["loss.batch_contrastive.reduction=mean"],
                &["loss.batch_contrastive.reduction=sum"],
                Some("is \"mean\" there and \"sum\" here"),
            ),
            (
                &["loss.batch_contrastive.reduction=mean"],
                &["loss.batch_contrastive.weight=0"],
                Some("loss.batch_contrastive.weight is 1.0 there and 0.0 here"),
            ),
            (&["run.seed=3"], &[], Some("run.seed is 3 there and 0 here")),
            (
                &[
                    "solver.batch=8",
                    "solver.lr=1",
                    "data.pad=1",
                    "loss.batch_contrastive.tau=1",
                    "input.width=64",
                ],
                &[],
                Some("2 more"),
            ),
        ] {
            let found = difference(&of(there), &of(asked));
            assert_eq!(found.is_some(), words.is_some(), "{there:?} {found:?}");
            assert!(
                words.is_none_or(|words| found.as_ref().unwrap().contains(words)),
                "{words:?}: {found:?}"
            );
            let seeds_apart = there.iter().all(|setting| setting.starts_with("run.seed"));
            assert_eq!(
                identity(&of(there)) == identity(&of(asked)),
                words.is_none() || seeds_apart,
                "{there:?}"
            );
        }
    }
}
