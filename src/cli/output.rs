//! Output files of commands: a link of the user is followed, and an existing file is overwritten only with --force.

use crate::command_help::{require_new, require_other};
use crate::console;
use crate::error::is_visible;
use crate::files::{follow, write_json};
use crate::{Error, Result};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Options of a result as JSON.
#[derive(Clone, Debug, Args)]
pub struct Json {
    /// Also write the result as JSON to FILE; with - or without FILE, to standard output instead of the table.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Overwrite the output file if it exists.
    #[arg(long)]
    force: bool,
}

impl Json {
    /// Checks before the computation that the file can be written, and is none of the command's `inputs`.
    ///
    /// # Errors
    /// A missing folder; an existing file without --force; an input.
    pub fn prepare<'a>(&mut self, inputs: impl IntoIterator<Item = &'a Path>) -> Result<()> {
        if let Some(file) = self.json.as_mut().filter(|file| *file != Path::new("-")) {
            require_other(file, inputs)?;
            *file = prepare(file, self.force)?;
        }
        Ok(())
    }

    /// Whether existing files may be overwritten.
    pub fn force(&self) -> bool {
        self.force
    }

    /// Whether standard output is for JSON, so that no table is printed.
    pub fn is_printed(&self) -> bool {
        self.json.as_deref() == Some(Path::new("-"))
    }

    /// Writes or prints the result, if it is wanted as JSON.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, result: &impl Serialize) -> Result<()> {
        match &self.json {
            None => Ok(()),
            Some(_) if self.is_printed() => {
                let json = serde_json::to_string_pretty(result);
                console::print(&visible(&json.map_err(|e| Error::io("standard output")(e.into()))?))
            }
            Some(file) => write_json(file, result),
        }
    }
}

/// JSON with invisible characters in the escapes of JSON, so that a terminal does not obey them.
fn visible(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if c == '\n' || is_visible(c) {
            shown.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        }
    }
    shown
}

/// The file to write for the output `file` of the user, checked before the computation.
///
/// # Errors
/// A missing folder; an existing file without --force.
pub fn prepare(file: &Path, force: bool) -> Result<PathBuf> {
    let file = follow(file)?;
    require_parent(&file)?;
    require_new(&file, force)?;
    Ok(file)
}

/// The folder of a file.
pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that the folder of an output file exists.
pub fn require_parent(file: &Path) -> Result<()> {
    if folder_of(file).is_dir() {
        return Ok(());
    }
    Err(Error::Data(format!("{}: its folder does not exist; create it first", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_json_stays_json() {
        let names = ["a\u{200b}b\u{202e}", "e\u{301} 王 \u{e0041}", "x\n\t\u{1b}"];
        let json = serde_json::to_string_pretty(&names).unwrap();
        let shown = visible(&json);
        assert!(shown.chars().all(|c| c == '\n' || is_visible(c)), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), names);
    }
}
