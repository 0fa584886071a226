//! Evaluations that a run keeps, so that reports can be made of them without the network or a device.
//!
//! ```text
//! RUN/evaluations/NAME/query.safetensors    features of the queries
//! RUN/evaluations/NAME/gallery.safetensors  features of the gallery, distractors included
//! RUN/evaluations/NAME/result.json          the figures
//! ```
//!
//! NAME is that of the data set's folder, with what was asked beyond the plain protocol behind it. A later evaluation of
//! the same name takes the place of the earlier one.

use super::Report;
use crate::files::{MIB, read_text};
use crate::weights::Features;
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = "evaluations";
const QUERY: &str = "query.safetensors";
const GALLERY: &str = "gallery.safetensors";
const RESULT: &str = "result.json";

/// One kept evaluation.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The name of the data set's folder, and what was asked beyond the plain protocol.
    pub name: String,
    /// Features of the queries, one an image; whatever pooled them belongs to the figures.
    pub query: Features,
    /// Features of the gallery.
    pub gallery: Features,
    /// The figures.
    pub report: Report,
}

impl Kept {
    /// Writes it into the folder of a run. The figures come last: where they are, all is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let folder = run.join(FOLDER).join(&self.name);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let result = folder.join(RESULT);
        match fs::remove_file(&result) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&result)(e)),
            _ => {}
        }
        self.query.write(&folder.join(QUERY))?;
        self.gallery.write(&folder.join(GALLERY))?;
        self.report.write_json(&result)?;
        Ok(folder)
    }

    /// Reads a run's evaluation of this name, if it is there and whole.
    ///
    /// # Errors
    /// As [`Kept::read`].
    pub fn read_whole(run: &Path, name: &str) -> Result<Option<Self>> {
        let folder = run.join(FOLDER).join(name);
        if folder.join(RESULT).is_file() { Kept::read(&folder).map(Some) } else { Ok(None) }
    }

    /// Reads one evaluation's folder.
    ///
    /// # Errors
    /// Files that are missing or not what they should be.
    pub fn read(folder: &Path) -> Result<Self> {
        let result = folder.join(RESULT);
        let json = read_text(&result, MIB)?;
        let report = serde_json::from_str(&json).map_err(|e| {
            Error::Data(format!(
                "{}: not the figures of an evaluation ({e}); evaluate again",
                result.display()
            ))
        })?;
        Ok(Kept {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            query: Features::read(&folder.join(QUERY))?,
            gallery: Features::read(&folder.join(GALLERY))?,
            report,
        })
    }
}

/// The name under which an evaluation on a data set is kept.
pub fn name_of(data: &Path) -> String {
    let whole = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    whole.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// All whole evaluations of a run, by name.
///
/// # Errors
/// As [`Kept::read`].
pub fn read_all(run: &Path) -> Result<Vec<Kept>> {
    let folder = run.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(&folder)(e)),
    };
    let entries = entries.collect::<std::io::Result<Vec<_>>>().map_err(Error::io(&folder))?;
    let mut folders: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    folders.retain(|path| path.join(RESULT).is_file());
    folders.sort_unstable();
    folders.iter().map(|folder| Kept::read(folder)).collect()
}
