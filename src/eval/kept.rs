//! Evaluations that a run keeps, so that reports can be made of them without the network or a device.
//!
//! ```text
//! RUN/evaluations/NAME/query.safetensors    features of the queries
//! RUN/evaluations/NAME/gallery.safetensors  features of the gallery, distractors included
//! RUN/evaluations/NAME/result.json          the figures
//! ```
//!
//! NAME is that of the data set's folder, with what was asked beyond the plain protocol behind it. A later evaluation of
//! the same images takes the place of the earlier one; one of other images, whose folder has the same name, is called
//! NAME-2, and so on.

use super::Report;
use crate::files::{MIB, read_text, write_json};
use crate::weights::Features;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
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
    /// The folders that the images are of: the data set's, and those of distractors.
    pub images: Vec<String>,
    /// Features of the queries, as they asked: of several images together, if they were pooled.
    pub query: Features,
    /// Features of the gallery.
    pub gallery: Features,
    /// The figures.
    pub report: Report,
}

/// What stands in `result.json`.
#[derive(Serialize, Deserialize)]
struct Figures<R> {
    #[serde(flatten)]
    report: R,
    #[serde(default)]
    images: Vec<String>,
}

impl Kept {
    /// Puts it together; paths of images become absolute.
    pub fn new(
        name: String,
        images: Vec<String>,
        query: Features,
        gallery: Features,
        report: Report,
    ) -> Self {
        let (query, gallery) = (query.with_absolute_paths(), gallery.with_absolute_paths());
        Kept { name, images, query, gallery, report }
    }

    /// Writes it into the folder of a run. An earlier evaluation stays until all of this one lies on the disk. The
    /// figures come last: where they are, all is there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let all = run.join(FOLDER);
        let folder = self.place(&all);
        fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        let draft = tempfile::Builder::new().prefix(".bcreid-").suffix(".tmp").tempdir_in(&all);
        let draft = draft.map_err(Error::io(&all))?;
        self.query.write(&draft.path().join(QUERY))?;
        self.gallery.write(&draft.path().join(GALLERY))?;
        let figures = Figures { report: &self.report, images: self.images.clone() };
        write_json(&draft.path().join(RESULT), &figures)?;
        match fs::remove_file(folder.join(RESULT)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(&folder)(e)),
            _ => {}
        }
        for file in [QUERY, GALLERY, RESULT] {
            let place = folder.join(file);
            fs::rename(draft.path().join(file), &place).map_err(Error::io(&place))?;
        }
        Ok(folder)
    }

    /// The folder that is free, or holds an earlier evaluation of the same images.
    fn place(&self, all: &Path) -> PathBuf {
        let others = |folder: &Path| match figures(&folder.join(RESULT)) {
            Ok(there) => !there.images.is_empty() && there.images != self.images,
            Err(_) => false,
        };
        let mut folder = all.join(&self.name);
        let mut number = 2;
        while others(&folder) {
            folder = all.join(format!("{}-{number}", self.name));
            number += 1;
        }
        folder
    }

    /// Reads a run's evaluation of this name, if it is there and whole.
    ///
    /// # Errors
    /// As [`Kept::read`].
    pub fn read_whole(run: &Path, name: &str) -> Result<Option<Self>> {
        let folder = run.join(FOLDER).join(name);
        if is_there(&folder)? { Kept::read(&folder).map(Some) } else { Ok(None) }
    }

    /// Reads one evaluation's folder.
    ///
    /// # Errors
    /// Files that are missing or not what they should be.
    pub fn read(folder: &Path) -> Result<Self> {
        let Figures { report, images } = figures(&folder.join(RESULT))?;
        Ok(Kept {
            images,
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            query: Features::read(&folder.join(QUERY))?,
            gallery: Features::read(&folder.join(GALLERY))?,
            report,
        })
    }
}

/// Whether a folder holds a whole evaluation.
fn is_there(folder: &Path) -> Result<bool> {
    let result = folder.join(RESULT);
    match fs::metadata(&result).map_err(Error::io(&result)) {
        Ok(_) => Ok(true),
        Err(e) if e.is_missing_file() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads figures.
fn figures(result: &Path) -> Result<Figures<Report>> {
    let fault = |why: String| {
        Error::Data(format!("{}: not the figures of an evaluation ({why}); evaluate again", result.display()))
    };
    let figures: Figures<Report> =
        serde_json::from_str(&read_text(result, MIB)?).map_err(|e| fault(e.to_string()))?;
    match figures.report.impossible() {
        Some(why) => Err(fault(why)),
        None => Ok(figures),
    }
}

/// A folder of images by its whole path, as [`Kept::images`] has it.
pub fn whole_path(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()).display().to_string()
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
    folders.sort_unstable();
    let mut all = Vec::new();
    for folder in folders {
        if is_there(&folder)? {
            all.push(Kept::read(&folder)?);
        }
    }
    Ok(all)
}
