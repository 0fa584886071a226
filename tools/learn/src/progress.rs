//! What the reader has begun and passed: the file `progress.toml` in the reader's folder.

use crate::exercise::Number;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The state of an exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The folder that was made for it, if it is not that with its number in the reader's folder. (A copy of the
    /// reader's folder then has its own answers.)
    pub folder: PathBuf,
    /// Failed checks of an answer.
    pub failed: i64,
    /// Whether an answer passed.
    pub passed: bool,
}

/// The state of all exercises that the reader has begun.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress(BTreeMap<String, State>);

impl Progress {
    /// Reads the file of the reader's folder. Without one, nothing is begun.
    ///
    /// # Errors
    /// A file that cannot be read, or that is damaged.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let file = file(folder);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Progress::default()),
            Err(error) => return Err(format!("{}: {error}", file.display())),
        };
        let damaged = |what: &str| {
            format!("{}: {what}; repair it, or remove it to begin anew (answers are kept)", file.display())
        };
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| damaged(error.message()))?;
        let state = |(number, value): (String, toml::Value)| {
            let state = State {
                folder: value.get("folder").and_then(toml::Value::as_str).map(PathBuf::from)?,
                failed: value.get("failed").and_then(toml::Value::as_integer)?,
                passed: value.get("passed").and_then(toml::Value::as_bool)?,
            };
            Some((number, state))
        };
        let states = table.into_iter().map(state).collect::<Option<_>>();
        states.map(Progress).ok_or_else(|| damaged("each exercise has folder, failed and passed"))
    }

    /// Writes the file; the reader's folder is made if it does not exist.
    ///
    /// # Errors
    /// A file or folder that cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let table = |state: &State| {
            toml::Table::from_iter([
                ("folder".to_string(), toml::Value::from(state.folder.to_string_lossy().into_owned())),
                ("failed".to_string(), toml::Value::from(state.failed)),
                ("passed".to_string(), toml::Value::from(state.passed)),
            ])
        };
        let all = self.0.iter().map(|(number, state)| (number.clone(), toml::Value::Table(table(state))));
        let text = format!(
            "# The exercises that were begun. bcreid learn writes this file.\n{}",
            toml::Table::from_iter(all)
        );
        let (file, new) = (file(folder), folder.join("progress.toml.new"));
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&new, text))
            .and_then(|()| fs::rename(new, &file));
        written.map_err(|error| format!("{}: {error}", file.display()))
    }

    /// The state of an exercise, if it was begun.
    pub fn of(&self, number: Number) -> Option<&State> {
        self.0.get(&number.to_string())
    }

    /// The state of an exercise, to be changed.
    pub fn entry(&mut self, number: Number) -> &mut State {
        self.0.entry(number.to_string()).or_default()
    }

    /// The state in words.
    pub fn in_words(&self, number: Number) -> &'static str {
        match self.of(number) {
            None => "not begun",
            Some(state) if state.passed => "passed",
            Some(_) => "begun",
        }
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("progress.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let number = "4.10".parse().unwrap();
        let mut progress = Progress::read(folder.path()).unwrap();
        assert_eq!(progress.in_words(number), "not begun");
        *progress.entry(number) = State { folder: "a \"b\"/4.10".into(), failed: 2, passed: false };
        progress.write(folder.path()).unwrap();
        assert_eq!(Progress::read(folder.path()).unwrap(), progress);
        assert_eq!(progress.in_words(number), "begun");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["[\"4.2\"", "a = 1", "[\"4.2\"]\nfolder = 3\nfailed = 0\npassed = false"] {
            fs::write(file(folder.path()), text).unwrap();
            let error = Progress::read(folder.path()).unwrap_err();
            assert!(error.contains("progress.toml") && error.contains("remove it"), "{error}");
        }
    }
}
