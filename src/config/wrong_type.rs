//! Errors for a value of a wrong type, or with an unknown word.

use super::{Entry, one_line};
use crate::Error;

impl Entry {
    /// The possible words of the setting; empty if it is a number, a list or a truth value.
    pub fn words(&self) -> Option<Vec<&'static str>> {
        let choices: Vec<&str> = self.unit.split(" | ").collect();
        let is_word =
            |choice: &&str| choice.starts_with(char::is_alphabetic) && !["true", "false"].contains(choice);
        (choices.len() > 1 && choices.iter().all(is_word)).then_some(choices)
    }
}

/// The error about `value`, given for the setting called `key`; `message` is the parser's.
pub(super) fn refusal(entry: Option<&Entry>, key: &str, value: &toml::Value, message: &str) -> Error {
    let (kind, shown) = (kind_of(value), one_line(&value.to_string()));
    Error::Config(match entry.and_then(Entry::words) {
        // The list of words is enough for a word. For a number the parser's message says more.
        Some(words) => {
            format!("{key} = {shown} is {kind}; wanted: one of the words {}", words.join(", "))
        }
        None => {
            let unit = entry.map_or("", |entry| entry.unit).replace(" | ", " or ");
            format!("{key} = {shown} is {kind}: {} (wanted: {unit})", one_line(message))
        }
    })
}

/// The type of a value, in words.
fn kind_of(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a word",
        toml::Value::Integer(_) | toml::Value::Float(_) => "a number",
        toml::Value::Boolean(_) => "a truth value",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    /// Each setting with a value of each type: an error names the key, the value and the possible words.
    #[test]
    fn every_word_names_its_words_whatever_it_is_given() {
        let values = [
            ("1", "a number"),
            ("0.5", "a number"),
            ("true", "a truth value"),
            ("[1, 2]", "a list"),
            ("{ a = 1 }", "a table"),
            ("1979-05-27", "a date"),
            ("nonsense", "a word"),
        ];
        let mut words_seen = 0;
        for entry in Config::entries() {
            for (value, kind) in values {
                let Err(error) = Config::resolve(None, &[format!("{}={value}", entry.key)]) else { continue };
                let error = error.to_string();
                assert!(error.contains(&entry.key) && !error.contains('\n'), "{error}");
                if let Some(words) = entry.words() {
                    words_seen += 1;
                    let shown = value.trim_matches(['{', '}', ' ']);
                    for part in words.iter().copied().chain([kind, "one of the words"]) {
                        assert!(error.contains(part), "{part:?} is not in: {error}");
                    }
                    assert!(error.contains(shown), "{shown:?} is not in: {error}");
                }
            }
        }
        let words = Config::entries().iter().filter(|entry| entry.words().is_some()).count();
        // All of them refuse all of the values.
        assert_eq!((words >= 9, words_seen), (true, words * values.len()));
        let error =
            Config::resolve(None, &["loss.batch_contrastive.reduction=1".into()]).unwrap_err().to_string();
        assert_eq!(
            error,
            "config: loss.batch_contrastive.reduction = 1 is a number; wanted: one of the words sum, mean (--set \
             loss.batch_contrastive.reduction=1)"
        );
    }

    /// The settings accept the words of the table.
    #[test]
    fn all_words_of_the_table_are_taken() {
        for entry in Config::entries() {
            for word in entry.words().unwrap_or_default() {
                // The neck's feature needs a neck.
                let settings = ["model.neck=batchnorm".to_string(), format!("{}={word}", entry.key)];
                let settings = if word == "neck" { &settings[..] } else { &settings[1..] };
                Config::resolve(None, settings).unwrap();
            }
        }
    }
}
