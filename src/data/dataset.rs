//! A data set: three lists of images with identities and cameras, from folders or from CSV lists.

use super::folder::{self, base_name};
use super::name::Name;
use super::{Sample, dukemtmc, list, market1501};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// The three parts of a data set; a part that is not there is empty.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `market1501`, `dukemtmc` or `list`.
    pub name: String,
    /// The folder it was opened from.
    pub root: PathBuf,
    /// Training images, by file name (or in the list's order).
    pub train: Vec<Sample>,
    /// Query images.
    pub query: Vec<Sample>,
    /// Gallery images.
    pub gallery: Vec<Sample>,
    /// What a person may want to know, one line each: files that were skipped.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Opens a folder that holds some of `bounding_box_train`, `query` and `bounding_box_test` (named like
    /// Market-1501 or DukeMTMC-reID; the first name decides which) or else some of `train.csv`, `query.csv`
    /// and `gallery.csv` (see [`list`]).
    ///
    /// # Errors
    /// A path that is no folder or has another layout, a part without images, an image whose name has no
    /// identity, a distractor or junk image in the training part, a faulty list.
    pub fn open(root: &Path) -> Result<Self> {
        match std::fs::metadata(root) {
            Err(source) => return Err(Error::io(root)(source)),
            Ok(meta) if !meta.is_dir() => {
                return Err(Error::Data(format!(
                    "{}: a data set is a folder, and this is a file; give the folder that holds {}",
                    root.display(),
                    expected()
                )));
            }
            Ok(_) => {}
        }
        if PARTS.iter().any(|part| root.join(part).is_dir()) {
            Self::from_folders(root)
        } else if LISTS.iter().any(|file| root.join(file).is_file()) {
            Self::from_lists(root)
        } else {
            Err(wrong_layout(root))
        }
    }

    /// Succeeds if there is something to train on.
    ///
    /// # Errors
    /// No training part.
    pub fn require_train(&self) -> Result<()> {
        self.require(&self.train, 0)
    }

    /// Succeeds if there is something to evaluate on.
    ///
    /// # Errors
    /// No query or no gallery part.
    pub fn require_test(&self) -> Result<()> {
        self.require(&self.query, 1)?;
        self.require(&self.gallery, 2)
    }

    /// The boxes of the queries' persons under their cameras, for multi-query: `gt_bbox`, or `gt_bbox.csv` beside the
    /// other lists.
    ///
    /// # Errors
    /// If there are none; as [`Dataset::open`].
    pub fn boxes(&self) -> Result<Vec<Sample>> {
        if self.name == "list" {
            let file = self.root.join(format!("{}.csv", market1501::BOXES));
            return match file.is_file() {
                true => list::read(&file),
                false => Err(self.no_boxes(&format!("{}.csv", market1501::BOXES))),
            };
        }
        let folder = self.root.join(market1501::BOXES);
        if !folder.is_dir() {
            return Err(self.no_boxes(market1501::BOXES));
        }
        let mut names = None;
        folder::list(&folder, false)?.images.into_iter().map(|path| sample(path, &mut names)).collect()
    }

    fn no_boxes(&self, missing: &str) -> Error {
        Error::Data(format!(
            "{}: there is no {missing} in it, and multi-query needs the other boxes of the queries' persons (Market-1501 \
             has them)",
            self.root.display()
        ))
    }

    fn require(&self, part: &[Sample], which: usize) -> Result<()> {
        if part.is_empty() {
            let missing = if self.name == "list" { LISTS[which] } else { PARTS[which] };
            let what = ["training", "query", "gallery"][which];
            return Err(Error::Data(format!(
                "{}: there is no {missing} in it, so there are no {what} images",
                self.root.display()
            )));
        }
        Ok(())
    }

    fn from_folders(root: &Path) -> Result<Self> {
        let mut notes = Vec::new();
        let mut names = None;
        let mut part = |which: usize| -> Result<Vec<Sample>> {
            let folder = root.join(PARTS[which]);
            if !folder.is_dir() {
                return Ok(Vec::new());
            }
            let listing = folder::list(&folder, false)?;
            notes.extend(listing.note(&folder));
            if listing.images.is_empty() {
                return Err(Error::Data(format!(
                    "{}: there is no .jpg, .jpeg or .png file in it; unpack the images there or remove the folder",
                    folder.display()
                )));
            }
            let samples = listing.images.into_iter().map(|path| sample(path, &mut names));
            let samples = samples.collect::<Result<Vec<_>>>()?;
            if which == 0 {
                refuse_unknown_persons(&samples)?;
            }
            Ok(samples)
        };
        let (train, query, gallery) = (part(0)?, part(1)?, part(2)?);
        let name = names.map_or("market1501", Names::id).to_string();
        Ok(Dataset { name, root: root.to_path_buf(), train, query, gallery, notes })
    }

    fn from_lists(root: &Path) -> Result<Self> {
        let part = |which: usize| {
            let file = root.join(LISTS[which]);
            if file.is_file() { list::read(&file) } else { Ok(Vec::new()) }
        };
        let (train, query, gallery) = (part(0)?, part(1)?, part(2)?);
        Ok(Dataset {
            name: "list".into(),
            root: root.to_path_buf(),
            train,
            query,
            gallery,
            notes: Vec::new(),
        })
    }
}

const PARTS: [&str; 3] = [market1501::TRAIN, market1501::QUERY, market1501::GALLERY];
const LISTS: [&str; 3] = ["train.csv", "query.csv", "gallery.csv"];

fn expected() -> String {
    format!("{}/, {}/ and {}/ (or {})", PARTS[0], PARTS[1], PARTS[2], LISTS.join(", "))
}

/// The two ways of naming files.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    Market,
    Duke,
}

impl Names {
    fn of(base: &str) -> Option<(Self, Name)> {
        let market = market1501::parse(base).map(|name| (Names::Market, name));
        market.or_else(|| dukemtmc::parse(base).map(|name| (Names::Duke, name)))
    }

    fn id(self) -> &'static str {
        match self {
            Names::Market => "market1501",
            Names::Duke => "dukemtmc",
        }
    }
}

fn sample(path: PathBuf, names: &mut Option<Names>) -> Result<Sample> {
    let Some((style, name)) = Names::of(base_name(&path)?) else {
        return Err(Error::image(
            &path,
            format!(
                "the name says no person and camera; it should look like {} or {} (or list the images in {})",
                market1501::EXAMPLE,
                dukemtmc::EXAMPLE,
                LISTS.join(", ")
            ),
        ));
    };
    let first = *names.get_or_insert(style);
    if style != first {
        return Err(Error::image(
            &path,
            format!(
                "named in the style of {}, but the images before it in that of {}; do not mix data sets in a folder",
                style.id(),
                first.id()
            ),
        ));
    }
    Ok(Sample { path, pid: name.pid, camid: Some(name.camid) })
}

/// Distractors and junk are no persons, so no class can stand for them.
fn refuse_unknown_persons(train: &[Sample]) -> Result<()> {
    match train.iter().find(|s| s.pid <= 0) {
        None => Ok(()),
        Some(Sample { path, pid, .. }) => Err(Error::image(
            path,
            format!(
                "person {pid} is {} and cannot be trained on; move it to {}",
                if *pid == 0 { "a distractor" } else { "junk" },
                market1501::GALLERY
            ),
        )),
    }
}

fn wrong_layout(root: &Path) -> Error {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Error::Data(format!("{}: the folder cannot be listed", root.display()));
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_unstable();
    let inner = found.iter().find(|path| PARTS.iter().any(|part| path.join(part).is_dir()));
    if let Some(inner) = inner {
        return Error::Data(format!(
            "{}: no data set here, but there is one a level down; give {}",
            root.display(),
            inner.display()
        ));
    }
    let name = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() { name + "/" } else { name }
    };
    let shown: Vec<String> = found.iter().take(5).map(name).collect();
    let found = match found.len() {
        0 => "the folder is empty".to_string(),
        n if n > shown.len() => format!("found {} and {} more", shown.join(", "), n - shown.len()),
        _ => format!("found {}", shown.join(", ")),
    };
    Error::Data(format!("{}: not a data set: expected {}, {found}", root.display(), expected()))
}
