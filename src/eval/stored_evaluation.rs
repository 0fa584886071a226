//! Evaluations stored in a run folder, so that reports can be made without the network or a device.
//!
//! ```text
//! RUN/evaluations/NAME/query.safetensors    features of the queries
//! RUN/evaluations/NAME/gallery.safetensors  features of the gallery, distractors included
//! RUN/evaluations/NAME/result.json          the figures
//! RUN/evaluations/.lock                     locked while an evaluation is read or written
//! ```
//!
//! NAME is the name of the data set's folder, followed by the options that differ from the plain protocol. A later
//! evaluation of the same images replaces the earlier one; an evaluation of other images whose folder has the same name
//! is called NAME-2, and so on. A name never begins with a dot: such names are the program's own.

mod replace;

use super::Report;
use crate::files::{Lock, MIB, inside, make_inside, read_text, sync_folder, write_json};
use crate::weights::Features;
use crate::{Error, Result};
use replace::{current, replace};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FOLDER: &str = "evaluations";
const QUERY: &str = "query.safetensors";
const GALLERY: &str = "gallery.safetensors";
const RESULT: &str = "result.json";
/// Lock file in the folder of all evaluations, locked while an evaluation is read or written.
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
    /// this one are on the disk, and counts until then. The function waits for other processes that read or write
    /// evaluations of this run.
    ///
    /// # Errors
    /// An error of the file system; a folder of evaluations that is a link.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let all = make_inside(run, FOLDER)?;
        let _lock = Lock::exclusive(&all.join(LOCK))?;
        let folder = make_inside(&all, self.target(&all))?;
        replace(&folder, |draft| {
            self.query.write(&draft.join(QUERY))?;
            self.gallery.write(&draft.join(GALLERY))?;
            let figures = Figures { report: &self.report, images: self.images.clone() };
            write_json(&draft.join(RESULT), &figures)
        })?;
        sync_folder(&all);
        sync_folder(run);
        Ok(folder)
    }

    /// The name of the first folder that is free or holds an earlier evaluation of the same images.
    fn target(&self, all: &Path) -> String {
        let others = |folder: &Path| match figures(&current(folder, RESULT)) {
            Ok(stored) => !stored.images.is_empty() && stored.images != self.images,
            Err(_) => false,
        };
        called(&self.name).find(|name| !others(&all.join(name))).expect("numbers do not end")
    }

    /// Reads the folder of an evaluation; waits for a process that writes evaluations of this run.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let _lock = folder.parent().map(|all| Lock::shared(&all.join(LOCK))).transpose()?;
        let Figures { report, images } = figures(&current(folder, RESULT))?;
        let (query, gallery) = (features(&current(folder, QUERY))?, features(&current(folder, GALLERY))?);
        if query.dim() != gallery.dim() {
            return Err(Error::Data(format!(
                "{}: features of {} values in the query and of {} in the gallery; evaluate again",
                folder.display(),
                query.dim(),
                gallery.dim()
            )));
        }
        Ok(StoredEvaluation { images, name: name_of_folder(folder), query, gallery, report })
    }
}

/// Deletes the evaluation `name` of a run: its features and figures. Waits for other processes that read or write
/// evaluations of this run.
///
/// # Errors
/// No evaluation of this name, with the names that are there; an error of the file system; a link.
pub fn delete(run: &Path, name: &str) -> Result<()> {
    let there: Vec<String> = folders(run)?.iter().map(|folder| name_of_folder(folder)).collect();
    // A name that is listed is one component of a path.
    if !there.iter().any(|other| other == name) {
        let which = match there.is_empty() {
            true => "the run has none".into(),
            false => format!("the run has {}", there.join(", ")),
        };
        return Err(Error::Run(format!("{}: no evaluation {name}; {which}", run.display())));
    }
    let all = make_inside(run, FOLDER)?;
    let _lock = Lock::exclusive(&all.join(LOCK))?;
    let folder = inside(&all, name)?;
    // Without its figures an evaluation does not count, also if the process ends here.
    for result in [current(&folder, RESULT), folder.join(RESULT)] {
        match fs::remove_file(&result) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(Error::io(&result)(e)),
            _ => {}
        }
    }
    fs::remove_dir_all(&folder).map_err(Error::io(&folder))?;
    sync_folder(&all);
    Ok(())
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
    let result = current(folder, RESULT);
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

/// The name under which an evaluation on a data set is stored: that of the data set's folder, with `_` before a dot at
/// its start.
pub fn name_of(data: &Path) -> String {
    let whole = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
    let name = whole.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
    if name.starts_with('.') { format!("_{name}") } else { name }
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
        let draft = folder.join(".draft");
        fs::write(&draft, "in the way").unwrap();
        assert!(stored("/a/set", 2.0).write(run.path()).is_err());
        assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [1.0]);
        fs::remove_file(&draft).unwrap();
        // The draft of a killed process is ignored and replaced.
        fs::create_dir(&draft).unwrap();
        fs::write(draft.join(RESULT), "half").unwrap();
        assert_eq!(names(run.path()), ["set"]);
        stored("/a/set", 3.0).write(run.path()).unwrap();
        assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [3.0]);
        assert!(!draft.exists());
    }

    /// A writer was killed when the figures were moved and the features were not, or nothing was.
    #[test]
    fn a_killed_replacement_is_found_whole() {
        for moved in [&[][..], &[RESULT], &[QUERY, RESULT]] {
            let run = tempfile::tempdir().unwrap();
            let folder = stored("/a/set", 1.0).write(run.path()).unwrap();
            let other = tempfile::tempdir().unwrap();
            let new = stored("/a/set", 2.0).write(other.path()).unwrap();
            fs::rename(new, folder.join(".new")).unwrap();
            for file in moved {
                fs::rename(folder.join(".new").join(file), folder.join(file)).unwrap();
            }
            assert_eq!(names(run.path()), ["set"]);
            assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [2.0]);
            stored("/b/set", 3.0).write(run.path()).unwrap();
            assert_eq!(names(run.path()), ["set", "set-2"]);
            stored("/a/set", 4.0).write(run.path()).unwrap();
            assert_eq!(StoredEvaluation::read(&folder).unwrap().gallery.features(), [4.0]);
        }
    }

    /// Readers see one evaluation or the other while a writer alternates between two: query and gallery agree.
    #[test]
    fn a_reader_never_sees_parts_of_two_evaluations() {
        let run = tempfile::tempdir().unwrap();
        let of = |place: f32| {
            let line = |camid: i64| {
                Features::new(vec![place], 1, vec![7], vec![camid], vec!["a.jpg".into()]).unwrap()
            };
            let report = evaluate(&line(1), &line(2), &Protocol::default(), &Device::cpu()).unwrap();
            StoredEvaluation::new("set".into(), vec!["/a/set".into()], line(1), line(2), report)
        };
        let folder = of(0.0).write(run.path()).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| (0..40).for_each(|i| drop(of(i as f32).write(run.path()).unwrap())));
            let mut reads = 0;
            while !writer.is_finished() || reads == 0 {
                let stored = StoredEvaluation::read(&folder).unwrap();
                assert_eq!(stored.query.features(), stored.gallery.features());
                reads += 1;
            }
        });
    }

    #[test]
    fn a_data_set_may_be_called_like_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join(LOCK);
        fs::create_dir(&data).unwrap();
        let mut evaluation = stored("/a/.lock", 1.0);
        evaluation.name = name_of(&data);
        let folder = evaluation.write(home.path()).unwrap();
        assert_eq!(names(home.path()), ["_.lock"]);
        assert_eq!(StoredEvaluation::read(&folder).unwrap().name, "_.lock");
    }

    #[cfg(unix)]
    #[test]
    fn evaluations_are_not_written_through_links() {
        let (home, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), home.path().join(FOLDER)).unwrap();
        let error = stored("/a/set", 1.0).write(home.path()).unwrap_err().to_string();
        assert!(error.contains("a symbolic link"), "{error}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }

    #[test]
    fn query_and_gallery_have_features_of_one_length() {
        let run = tempfile::tempdir().unwrap();
        let folder = stored("/a/set", 1.0).write(run.path()).unwrap();
        let wider = Features::new(vec![1.0, 2.0], 2, vec![7], vec![2], vec!["a.jpg".into()]).unwrap();
        wider.write(&folder.join(GALLERY)).unwrap();
        let error = StoredEvaluation::read(&folder).unwrap_err().to_string();
        assert!(error.contains("features of 1 values in the query and of 2 in the gallery"), "{error}");
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
