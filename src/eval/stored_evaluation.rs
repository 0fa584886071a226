//! Evaluations stored in a run folder, so that reports can be made without the network or a device.
//!
//! ```text
//! RUN/evaluations/NAME/query.safetensors    features of the queries
//! RUN/evaluations/NAME/gallery.safetensors  features of the gallery, distractors included
//! RUN/evaluations/NAME/result.json          the figures
//! RUN/evaluations/.lock                     locked while an evaluation is written
//! ```
//!
//! NAME is the name of the data set's folder, followed by the options that differ from the plain protocol. A later
//! evaluation of the same images replaces the earlier one; an evaluation of other images whose folder has the same name
//! is called NAME-2, and so on.

use super::Report;
use crate::files::{MIB, open_or_make, read_text, write_json};
use crate::weights::Features;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FOLDER: &str = "evaluations";
const QUERY: &str = "query.safetensors";
const GALLERY: &str = "gallery.safetensors";
const RESULT: &str = "result.json";
/// Subfolder of an evaluation's folder in which its replacement is written.
const DRAFT: &str = ".draft";
/// Lock file, locked while an evaluation is written.
const LOCK: &str = ".lock";

/// A stored evaluation.
#[derive(Clone, Debug)]
pub struct StoredEvaluation {
    /// Name of the data set's folder, followed by the options that differ from the plain protocol.
    pub name: String,
    /// Folders of the images: the data set's, and those of distractors.
    pub images: Vec<String>,
    /// Features of the queries; pooled features in a multi-query evaluation.
    pub query: Features,
    /// Features of the gallery.
    pub gallery: Features,
    /// Figures of the evaluation.
    pub report: Report,
}

/// Content of `result.json`.
#[derive(Serialize, Deserialize)]
struct Figures<R> {
    #[serde(flatten)]
    report: R,
    #[serde(default)]
    images: Vec<String>,
}

impl StoredEvaluation {
    /// Creates an evaluation; the paths of images become absolute.
    pub fn new(
        name: String,
        images: Vec<String>,
        query: Features,
        gallery: Features,
        report: Report,
    ) -> Self {
        let (query, gallery) = (query.with_absolute_paths(), gallery.with_absolute_paths());
        StoredEvaluation { name, images, query, gallery, report }
    }

    /// Writes the evaluation into a run folder and returns its folder. An earlier evaluation stays until all files of
    /// this one are on the disk. The figures are moved last, so a folder with figures is complete. The function waits
    /// for other processes that write evaluations of this run.
    ///
    /// # Errors
    /// An error of the file system.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let all = run.join(FOLDER);
        fs::create_dir_all(&all).map_err(Error::io(&all))?;
        let _lock = lock(&all.join(LOCK))?;
        let folder = self.target(&all);
        let draft = folder.join(DRAFT);
        // A killed process may have left a draft.
        match fs::remove_dir_all(&draft) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&draft)(e)),
            _ => fs::create_dir_all(&draft).map_err(Error::io(&draft))?,
        }
        let written = self.write_files(&draft, &folder);
        // Best effort: a leftover draft is harmless.
        let _ = fs::remove_dir_all(&draft);
        written.map(|()| folder)
    }

    /// Writes all files into `draft`, then moves them into `folder`.
    fn write_files(&self, draft: &Path, folder: &Path) -> Result<()> {
        self.query.write(&draft.join(QUERY))?;
        self.gallery.write(&draft.join(GALLERY))?;
        let figures = Figures { report: &self.report, images: self.images.clone() };
        write_json(&draft.join(RESULT), &figures)?;
        match fs::remove_file(folder.join(RESULT)) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(folder)(e)),
            _ => {}
        }
        for file in [QUERY, GALLERY, RESULT] {
            let target = folder.join(file);
            fs::rename(draft.join(file), &target).map_err(Error::io(&target))?;
        }
        Ok(())
    }

    /// The first folder that is free or holds an earlier evaluation of the same images.
    fn target(&self, all: &Path) -> PathBuf {
        let others = |folder: &Path| match figures(&folder.join(RESULT)) {
            Ok(stored) => !stored.images.is_empty() && stored.images != self.images,
            Err(_) => false,
        };
        let mut folders = called(&self.name).map(|name| all.join(name));
        folders.find(|folder| !others(folder)).expect("numbers do not end")
    }

    /// Reads the folder of an evaluation.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let Figures { report, images } = figures(&folder.join(RESULT))?;
        Ok(StoredEvaluation {
            images,
            name: name_of_folder(folder),
            query: features(&folder.join(QUERY))?,
            gallery: features(&folder.join(GALLERY))?,
            report,
        })
    }
}

/// Locks a file; waits until no other process has it locked.
fn lock(file: &Path) -> Result<File> {
    let lock = open_or_make(file)?;
    lock.lock().map_err(Error::io(file))?;
    Ok(lock)
}

/// Names of evaluations on folders of one name: NAME, NAME-2, and so on.
fn called(name: &str) -> impl Iterator<Item = String> {
    std::iter::once(name.to_string()).chain((2u64..).map(move |number| format!("{name}-{number}")))
}

/// Reads a run's complete evaluations on folders of this name.
///
/// # Errors
/// As [`StoredEvaluation::read`].
pub fn read_called(run: &Path, name: &str) -> Result<Vec<StoredEvaluation>> {
    let mut all = Vec::new();
    for folder in called(name).map(|name| run.join(FOLDER).join(name)) {
        if !is_there(&folder)? {
            break;
        }
        all.push(StoredEvaluation::read(&folder)?);
    }
    Ok(all)
}

/// True if a folder holds a complete evaluation.
fn is_there(folder: &Path) -> Result<bool> {
    let result = folder.join(RESULT);
    match fs::metadata(&result).map_err(Error::io(&result)) {
        Ok(_) => Ok(true),
        Err(e) if e.is_missing_file() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads a file of features.
fn features(file: &Path) -> Result<Features> {
    Features::read(file).map_err(|e| Error::Data(format!("{e}; evaluate again")))
}

/// Reads and checks a file of figures.
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

/// The absolute path of a folder of images, as in [`StoredEvaluation::images`].
pub fn whole_path(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf()).display().to_string()
}

/// The name under which an evaluation on a data set is stored.
pub fn name_of(data: &Path) -> String {
    let whole = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    whole.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// The folders of a run's complete evaluations, in the order of their names.
///
/// # Errors
/// An error of the file system.
pub fn folders(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = run.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(&folder)(e)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::io(&folder))?.path();
        if is_there(&path)? {
            folders.push(path);
        }
    }
    folders.sort_unstable();
    Ok(folders)
}

/// The name of an evaluation's folder.
pub fn name_of_folder(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::eval::{Protocol, evaluate};

    fn stored(images: &str, gallery: f32) -> StoredEvaluation {
        let line = |place: f32, camid: i64| {
            Features::new(vec![place], 1, vec![7], vec![camid], vec!["a.jpg".into()]).unwrap()
        };
        let (query, gallery) = (line(0.0, 1), line(gallery, 2));
        let report = evaluate(&query, &gallery, &Protocol::default(), &Device::cpu()).unwrap();
        StoredEvaluation::new("set".into(), vec![images.into()], query, gallery, report)
    }

    fn names(run: &Path) -> Vec<String> {
        folders(run).unwrap().iter().map(|folder| name_of_folder(folder)).collect()
    }

    #[test]
    fn other_images_get_another_name_and_the_same_ones_the_same() {
        let run = tempfile::tempdir().unwrap();
        for (images, gallery) in [("/a/set", 1.0), ("/b/set", 2.0), ("/a/set", 3.0)] {
            stored(images, gallery).write(run.path()).unwrap();
        }
        assert_eq!(names(run.path()), ["set", "set-2"]);
        let all = read_called(run.path(), "set").unwrap();
        let found: Vec<f32> = all.iter().map(|stored| stored.gallery.features()[0]).collect();
        assert_eq!(found, [3.0, 2.0]);
        assert_eq!(all[1].images, ["/b/set"]);
        assert!(Path::new(&all[0].query.paths()[0]).is_absolute());
    }

    #[test]
    fn a_failed_write_leaves_the_earlier_one_whole() {
        let run = tempfile::tempdir().unwrap();
        let folder = stored("/a/set", 1.0).write(run.path()).unwrap();
        fs::write(folder.join(DRAFT), "in the way").unwrap();
        assert!(stored("/a/set", 2.0).write(run.path()).is_err());
        assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [1.0]);
        fs::remove_file(folder.join(DRAFT)).unwrap();
        // The draft of a killed process is ignored and replaced.
        fs::create_dir(folder.join(DRAFT)).unwrap();
        fs::write(folder.join(DRAFT).join(RESULT), "half").unwrap();
        assert_eq!(names(run.path()), ["set"]);
        stored("/a/set", 3.0).write(run.path()).unwrap();
        assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [3.0]);
        assert!(!folder.join(DRAFT).exists());
    }

    #[test]
    fn impossible_figures_are_refused() {
        let run = tempfile::tempdir().unwrap();
        let folder = stored("/a/set", 1.0).write(run.path()).unwrap();
        let good = fs::read_to_string(folder.join(RESULT)).unwrap();
        for (from, to, words) in [
            ("\"rank1\": 1.0", "\"rank1\": 1e308", "rank1 is"),
            ("\"map_sum\": 1.0", "\"map_sum\": -5.0", "map_sum is -5"),
            ("\"minp\": 1.0", "\"minp\": null", "not the figures"),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            fs::write(folder.join(RESULT), bad).unwrap();
            let error = StoredEvaluation::read(&folder).unwrap_err().to_string();
            assert!(error.contains(words) && !error.contains('\n'), "{error}");
        }
    }
}
