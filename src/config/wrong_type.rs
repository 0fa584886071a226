//! Errors for a value of a wrong type, or with an unknown word.

use super::{
    Arch, BadImages, BatchnormScope, CenterRate, Channels, Convention, Distance, EmbeddingInit, Entry,
    EraseFill, EvalOn, Factors, FeatureKind, Gradient, Mining, NeckKind, Normalization, Optimizer, PadMode,
    PkOrder, Pooling, Reduction, Sampler, Schedule, Scope, Wiring, one_line,
};
use crate::Error;
use std::path::PathBuf;
use toml::Value;

impl Entry {
    /// The possible words of the setting; empty if it is a number, a list or a truth value.
    pub fn words(&self) -> Option<Vec<&'static str>> {
        let choices: Vec<&str> = self.unit.split(" | ").collect();
        let is_word =
            |choice: &&str| choice.starts_with(char::is_alphabetic) && !["true", "false"].contains(choice);
        (choices.len() > 1 && choices.iter().all(is_word)).then_some(choices)
    }
}

/// The type of a setting's values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// A whole number from 0.
    Whole,
    Number,
    Truth,
    /// A text, such as a path.
    Text,
    /// One of the words of the setting's unit.
    Word,
    /// A number or a word.
    NumberOr(&'static str),
    /// Factors by patterns of names.
    Factors,
    /// Values of one type, with their number if it is fixed.
    List(&'static Wanted, Option<usize>),
}

/// A type of settings.
pub(super) trait Setting {
    /// Its values, for messages.
    const WANTED: Wanted;
}

/// Declares the types of settings that are not composed of others.
macro_rules! settings {
    ($($wanted:expr => $($name:ty),+;)+) => {
        $($(impl Setting for $name { const WANTED: Wanted = $wanted; })+)+
    };
}

settings! {
    Wanted::Whole => usize, u64;
    Wanted::Number => f32;
    Wanted::Truth => bool;
    Wanted::NumberOr("tied") => CenterRate;
    Wanted::NumberOr("he or orthogonal") => EmbeddingInit;
    Wanted::Factors => Factors;
    Wanted::Text => String, PathBuf;
    Wanted::Word => Arch, Wiring, Pooling, NeckKind, Normalization, BatchnormScope, Sampler, FeatureKind, Gradient, Reduction, Convention,
        Distance, Mining, Scope, Optimizer, Schedule, EvalOn, Channels, PadMode, PkOrder, EraseFill, BadImages;
}

impl<T: Setting> Setting for Option<T> {
    const WANTED: Wanted = T::WANTED;
}

impl<T: Setting> Setting for Vec<T> {
    const WANTED: Wanted = Wanted::List(&T::WANTED, None);
}

impl<T: Setting, const N: usize> Setting for [T; N] {
    const WANTED: Wanted = Wanted::List(&T::WANTED, Some(N));
}

impl Wanted {
    /// The type in words, in the singular.
    fn in_words(self, entry: &Entry) -> String {
        match self {
            Wanted::Whole => "a whole number".into(),
            Wanted::Number => "a number".into(),
            Wanted::Truth => "true or false".into(),
            Wanted::Word => format!("one of the words {}", entry.words().unwrap_or_default().join(", ")),
            Wanted::NumberOr(word) => format!("a number or the word {word}"),
            Wanted::Text => "a text".into(),
            Wanted::Factors => {
                "a table of names and factors, such as { \"layer1.*\" = 0.1, \"*.bias\" = 2 }".into()
            }
            Wanted::List(of, length) => {
                let length = length.map_or(String::new(), |length| format!("{length} "));
                let of = of.in_words(entry);
                format!("a list of {length}{}s, such as {}", of.trim_start_matches("a "), self.example())
            }
        }
    }

    fn example(self) -> String {
        match self {
            Wanted::List(of, length) => {
                let items: Vec<String> = (1..=length.unwrap_or(2)).map(|i| of.example_of(i)).collect();
                format!("[{}]", items.join(", "))
            }
            single => single.example_of(1),
        }
    }

    fn example_of(self, i: usize) -> String {
        match self {
            Wanted::Number => format!("0.{i}"),
            Wanted::Text => format!("\"layer{i}.*\""),
            _ => i.to_string(),
        }
    }

    /// The fault of a value, in words; `None` if it has the type.
    fn fault(self, value: &Value) -> Option<String> {
        let is = |what: &str| Some(format!("`{}` is {what}", shown(value)));
        match (self, value) {
            (Wanted::Whole, Value::Integer(number)) if *number >= 0 => None,
            (Wanted::Whole, Value::Integer(_)) => is("below 0"),
            (Wanted::Whole, Value::Float(_)) => is("not whole: write it without a point and an exponent"),
            (Wanted::Number | Wanted::NumberOr(_), Value::Integer(_) | Value::Float(_)) => None,
            (Wanted::Truth, Value::Boolean(_)) => None,
            (Wanted::Text, Value::String(text)) if !text.is_empty() => None,
            (Wanted::Factors, Value::Table(factors)) => {
                factors.values().find_map(|value| Wanted::Number.fault(value))
            }
            (Wanted::List(of, length), Value::Array(values)) => {
                if let Some(fault) = values.iter().find_map(|value| of.fault(value)) {
                    return Some(fault);
                }
                let fits = length.is_none_or(|length| length == values.len());
                (!fits).then(|| format!("`{}` has {}", shown(value), values.len()))
            }
            // TOML reads digits as text if they are too many, or in quotation marks.
            (Wanted::Whole, Value::String(text)) if is_digits(text) && text.parse::<i64>().is_err() => {
                is("too large")
            }
            (Wanted::Whole | Wanted::Number | Wanted::Truth, Value::String(text))
                if text.parse::<f64>().is_ok() || text.parse::<bool>().is_ok() =>
            {
                Some(format!("`\"{}\"` is text: write it without quotation marks", shown(value)))
            }
            (Wanted::Word | Wanted::NumberOr(_), Value::String(_)) => is("another word"),
            (_, Value::String(text)) if text.is_empty() => Some("no value is given".into()),
            _ => is(kind_of(value)),
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The error about `value`, given for the setting called `key`; `message` is the parser's.
pub(super) fn refusal(entry: &Entry, value: &Value, message: &str) -> Error {
    let fault = entry.wanted.fault(value).unwrap_or_else(|| one_line(message));
    Error::Config(format!("{} is {}; {fault}", entry.key, entry.wanted.in_words(entry)))
}

/// A value as it is typed on the command line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        other => one_line(&other.to_string()),
    }
}

/// The type of a value, in words.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "text",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "a truth value",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn refused(key: &str, value: &str) -> Option<String> {
        Config::resolve(None, &[format!("{key}={value}")]).err().map(|error| error.to_string())
    }

    /// Each setting with a value of each type: an error names the key, the type and the value in plain words.
    #[test]
    fn every_setting_says_its_type_whatever_it_is_given() {
        let values = [
            ("1", "a number"),
            ("0.5", "a number"),
            ("-3", "a number"),
            ("true", "a truth value"),
            ("[1, 2]", "a list"),
            ("[]", "a list"),
            ("[\"x\"]", "a list"),
            ("{ a = 1 }", "a table"),
            ("1979-05-27", "a date"),
            ("nonsense", "text"),
            ("99999999999999999999", "text"),
            ("", "text"),
        ];
        let of_rust = [
            "invalid", "expected", "i64", "u64", "usize", "f32", "f64", "sequence", "tuple", "integer",
            "map", "variant", "string", "boolean", "struct", "array",
        ];
        for entry in Config::entries() {
            for (value, _) in values {
                let Some(error) = refused(&entry.key, value) else { continue };
                assert!(error.starts_with("config: ") && error.contains(&entry.key), "{error}");
                assert!(of_rust.iter().all(|word| !error.contains(word)) && !error.contains('\n'), "{error}");
                assert!(error.ends_with(&format!("(--set {}={value})", entry.key)), "{error}");
            }
            let wrong = |value: &str| refused(&entry.key, value).unwrap_or_else(|| panic!("{}", entry.key));
            if matches!(entry.wanted, Wanted::Text) {
                // TOML takes a date as text.
                assert!(wrong("3").contains("is a text; `3` is a number"));
                continue;
            }
            // A date has the type of no other setting.
            let (date, text, empty) = (wrong("1979-05-27"), wrong("nonsense"), wrong(""));
            assert!(date.contains("`1979-05-27` is a date"), "{date}");
            let (wanted, of_text) = match entry.wanted {
                Wanted::Whole => ("is a whole number; ", "`nonsense` is text"),
                Wanted::Number => ("is a number; ", "`nonsense` is text"),
                Wanted::Truth => ("is true or false; ", "`nonsense` is text"),
                Wanted::Word => ("is one of the words ", "`nonsense` is another word"),
                Wanted::NumberOr(_) => ("is a number or the word ", "`nonsense` is another word"),
                Wanted::Text => unreachable!("continued above"),
                Wanted::Factors => ("is a table of names and factors, ", "`nonsense` is text"),
                Wanted::List(..) => ("is a list of ", "`nonsense` is text"),
            };
            assert!(date.contains(wanted) && text.contains(wanted) && text.contains(of_text), "{text}");
            assert!(empty.contains(wanted), "{empty}");
            for word in entry.words().unwrap_or_default() {
                assert!(date.contains(word), "{word} is not in: {date}");
            }
        }
    }

    #[test]
    fn a_wrong_value_is_named_in_plain_words() {
        for (key, value, said) in [
            ("solver.batch", "abc", "solver.batch is a whole number; `abc` is text"),
            ("solver.batch", "-4", "solver.batch is a whole number; `-4` is below 0"),
            (
                "run.seed",
                "99999999999999999999",
                "run.seed is a whole number; `99999999999999999999` is too large",
            ),
            ("data.flip", "yes", "data.flip is true or false; `yes` is text"),
            ("solver.lr", "", "solver.lr is a number; no value is given"),
            (
                "loss.batch_contrastive.reduction",
                "1",
                "loss.batch_contrastive.reduction is one of the words sum, mean; `1` is a number",
            ),
            (
                "solver.iterations",
                "5e4",
                "solver.iterations is a whole number; `50000.0` is not whole: write it without a point and an exponent",
            ),
            (
                "input.mean",
                "[1, 2]",
                "input.mean is a list of 3 numbers, such as [0.1, 0.2, 0.3]; `[1, 2]` has 2",
            ),
            (
                "solver.lr_milestones",
                "[1, \"x\"]",
                "solver.lr_milestones is a list of whole numbers, such as [1, 2]; `x` is text",
            ),
        ] {
            assert_eq!(refused(key, value).unwrap(), format!("config: {said} (--set {key}={value})"));
        }
    }

    #[test]
    fn a_number_in_quotation_marks_is_told_from_one_that_is_too_large() {
        let error = Config::resolve_text("[solver]\nbatch = \"16\"\n", &[]).unwrap_err().to_string();
        let said =
            "config: solver.batch is a whole number; `\"16\"` is text: write it without quotation marks";
        assert_eq!(error, said);
    }

    /// The settings accept the words of the table.
    #[test]
    fn all_words_of_the_table_are_taken() {
        let words = Config::entries().into_iter().filter(|entry| matches!(entry.wanted, Wanted::Word));
        let mut number = 0;
        for entry in words {
            for word in entry.words().unwrap() {
                // The features of a neck and an embedding need these layers.
                let layers = ["model.neck=batchnorm".to_string(), "model.embedding=[8]".to_string()];
                let settings = [&layers[..], &[format!("{}={word}", entry.key)]].concat();
                Config::resolve(None, &settings).unwrap();
            }
            number += 1;
        }
        assert_eq!(number, 28);
    }
}
