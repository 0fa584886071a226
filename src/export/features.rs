//! Feature files in this program's format and in those of other programs.
//!
//! | ending | what | read |
//! |---|---|---|
//! | `.safetensors` | this program's own ([`Features`]) | yes |
//! | `.npy` | NumPy's array f32 `[N, D]`, and beside it `.csv` with the rows' path, pid and camid | yes |
//! | `.arrow` | an Arrow IPC file with one row an image, for pandas, Polars, DuckDB | no |
//!
//! All formats hold the same rows in the same order. Only `.safetensors` and `.arrow` name the network that computed
//! the features.

mod arrow;
mod npy;
mod rows;

pub use npy::write_matrix;

use crate::weights::Features;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A format of feature files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This program's own format.
    Safetensors,
    /// A NumPy array, and a CSV list of its rows beside it.
    Npy,
    /// An Arrow table.
    Arrow,
}

impl Format {
    /// The format of a file, by the ending of its name.
    ///
    /// # Errors
    /// Any other ending; the error lists the known ones.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Ok(Format::Safetensors),
            "npy" => Ok(Format::Npy),
            "arrow" => Ok(Format::Arrow),
            _ => Err(Error::Data(format!(
                "{}: a file of features ends in .safetensors, .npy (a .csv goes beside it) or .arrow",
                path.display()
            ))),
        }
    }

    /// All files that features at `path` consist of.
    pub fn files(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Format::Safetensors | Format::Arrow => vec![path.to_path_buf()],
            Format::Npy => vec![path.to_path_buf(), path.with_extension("csv")],
        }
    }
}

/// Writes features in the format of the ending of `path`; each file is written whole or not at all.
///
/// # Errors
/// An unknown ending; an error of the file system.
pub fn write(features: &Features, path: &Path) -> Result<()> {
    match Format::of(path)? {
        Format::Safetensors => features.write(path),
        // The list is moved into place last, when the array of its rows is complete.
        Format::Npy => rows::write(features, &path.with_extension("csv"), || npy::write(features, path)),
        Format::Arrow => arrow::write(features, path),
    }
}

/// Reads features in the format of the ending of `path`.
///
/// # Errors
/// An unknown ending, or that of a format that is only written; damaged files.
pub fn read(path: &Path) -> Result<Features> {
    match Format::of(path)? {
        Format::Safetensors => Features::read(path),
        Format::Npy => {
            let matrix = npy::open(path)?;
            let list = rows::read(&path.with_extension("csv"))?;
            // Before there is memory for the values: an array with holes has few bytes on the disk.
            if list.pids.len() != matrix.rows {
                return Err(Error::weights(
                    path,
                    format!("{} rows, but the .csv beside it lists {}", matrix.rows, list.pids.len()),
                ));
            }
            let dim = matrix.dim;
            let features = Features::new(matrix.values(path)?, dim, list.pids, list.camids, list.paths);
            Ok(features.map_err(|e| Error::weights(path, e.to_string()))?.with_labels(list.labels))
        }
        Format::Arrow => Err(Error::weights(
            path,
            "Arrow files can be written but not read; give the .safetensors, or a .npy with its .csv",
        )),
    }
}
