//! Short texts from files of others.

use crate::error::printable;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The end of a text that was cut.
const CUT: &str = "...";

/// A text of at most 300 characters; a longer one is cut, also when it is read. [`fmt::Display`] escapes control and
/// format characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// Most characters of a text.
    pub const LONGEST: usize = 300;

    /// The start of a text.
    pub fn new(text: &str) -> Self {
        if text.chars().nth(Text::LONGEST).is_none() {
            return Text(text.to_string());
        }
        Text(text.chars().take(Text::LONGEST - CUT.len()).collect::<String>() + CUT)
    }

    /// The text as it is; it may hold control characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits of a SHA-256, for messages.
    pub fn digits(&self) -> Text {
        const DIGITS: usize = 12;
        match self.0.char_indices().nth(DIGITS) {
            Some((end, _)) => Text(self.0[..end].to_string() + CUT),
            None => self.clone(),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Text::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_shown_escaped() {
        let long = Text::new(&"é".repeat(1000));
        assert_eq!(long.as_str().chars().count(), Text::LONGEST);
        assert!(long.as_str().ends_with("é..."));
        assert_eq!(Text::new(long.as_str()), long);
        assert_eq!(serde_json::from_str::<Text>(&format!("\"{}\"", "é".repeat(1000))).unwrap(), long);
        assert_eq!(Text::new("a\nb\u{1b}").to_string(), "a\\nb\\u{1b}");
        assert_eq!(Text::new("0123456789abcdef").digits().to_string(), "0123456789ab...");
        assert_eq!(Text::new("ab12").digits().to_string(), "ab12");
    }
}
