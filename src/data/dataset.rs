//! Data sets: training, query and gallery images with identities and cameras, from folders or from CSV lists.

use super::folder::{self, base_name};
use super::name::Name;
use super::{Sample, dukemtmc, list, market1501, overlap};
use crate::console::counted;
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// A data set of three parts; a missing part is empty.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// `market1501`, `dukemtmc` or `list`.
    pub name: String,
    /// The data set's folder.
    pub root: PathBuf,
    /// Training images, by file name (or in the list's order).
    pub train: Vec<Sample>,
    /// Query images.
    pub query: Vec<Sample>,
    /// Gallery images.
    pub gallery: Vec<Sample>,
    /// Notes for the user, one line each: files that were skipped.
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

    /// The folders of the query and gallery images of the data set in `root`: those of [`Dataset::open`], or `root` itself
    /// for a data set of lists. Empty if `root` lacks one of the two parts.
    pub fn test_folders(root: &Path) -> Vec<PathBuf> {
        let [_, query, gallery] = PARTS.map(|part| root.join(part));
        if query.is_dir() && gallery.is_dir() {
            return vec![query, gallery];
        }
        let lists = LISTS[1..].iter().all(|file| root.join(file).is_file());
        if lists { vec![root.to_path_buf()] } else { Vec::new() }
    }

    /// Checks that the data set has training images.
    ///
    /// # Errors
    /// [`Error::Data`] that names the missing folder or list.
    pub fn require_train(&self) -> Result<()> {
        self.require(&self.train, 0)
    }

    /// Checks that the data set has query and gallery images.
    ///
    /// # Errors
    /// [`Error::Data`] that names the missing folder or list.
    pub fn require_test(&self) -> Result<()> {
        self.require(&self.query, 1)?;
        self.require(&self.gallery, 2)
    }

    /// The boxes of each query's person from the query's camera, for multi-query evaluation: `gt_bbox`, or
    /// `gt_bbox.csv` beside the other lists.
    ///
    /// # Errors
    /// If the folder or list is missing; as [`Dataset::open`].
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
        let mut scheme = None;
        folder::list(&folder, false)?.images.into_iter().map(|path| sample(path, &mut scheme)).collect()
    }

    fn no_boxes(&self, missing: &str) -> Error {
        Error::Data(format!(
            "{}: no {missing} in this data set; multi-query needs all boxes of each query's person from the query's \
             camera, which Market-1501 provides; add them, or evaluate without multi-query",
            self.root.display()
        ))
    }

    fn require(&self, part: &[Sample], which: usize) -> Result<()> {
        if part.is_empty() {
            let missing = if self.name == "list" { LISTS[which] } else { PARTS[which] };
            let what = ["training", "query", "gallery"][which];
            return Err(Error::Data(format!(
                "{}: no {missing} in this data set, so no {what} images; add it or give another data set",
                self.root.display()
            )));
        }
        Ok(())
    }

    fn from_folders(root: &Path) -> Result<Self> {
        let mut notes = Vec::new();
        let mut scheme = None;
        let mut part = |which: usize| -> Result<Vec<Sample>> {
            let folder = root.join(PARTS[which]);
            if !folder.is_dir() {
                return Ok(Vec::new());
            }
            let listing = folder::list(&folder, false)?;
            notes.extend(listing.note(&folder));
            if listing.images.is_empty() {
                return Err(Error::Data(format!(
                    "{}: no image ({}) in this folder; unpack the images there or remove the folder",
                    folder.display(),
                    folder::endings()
                )));
            }
            let samples = listing.images.into_iter().map(|path| sample(path, &mut scheme));
            let samples = samples.collect::<Result<Vec<_>>>()?;
            if which == 0 {
                refuse_distractors_and_junk(&samples)?;
            }
            Ok(samples)
        };
        let (train, query, gallery) = (part(0)?, part(1)?, part(2)?);
        notes.extend(overlap::note(root, &train, &query, &gallery));
        let name = scheme.map_or("market1501", NamingScheme::id).to_string();
        Ok(Dataset { name, root: root.to_path_buf(), train, query, gallery, notes })
    }

    fn from_lists(root: &Path) -> Result<Self> {
        let mut notes = Vec::new();
        let mut part = |which: usize| -> Result<Vec<Sample>> {
            let file = root.join(LISTS[which]);
            if !file.is_file() {
                return Ok(Vec::new());
            }
            let (samples, note) = overlap::once(&file, list::read(&file)?)?;
            notes.extend(note);
            Ok(samples)
        };
        let (train, query, gallery) = (part(0)?, part(1)?, part(2)?);
        notes.extend(outside(root, [&train, &query, &gallery]));
        notes.extend(overlap::note(root, &train, &query, &gallery));
        Ok(Dataset { name: "list".into(), root: root.to_path_buf(), train, query, gallery, notes })
    }
}

/// A note about listed images that are not below the lists' folder: a list from elsewhere may name any image.
fn outside(root: &Path, parts: [&Vec<Sample>; 3]) -> Option<String> {
    let leaves = |sample: &&Sample| {
        let inner = sample.path.strip_prefix(root);
        inner.map_or(true, |inner| inner.components().any(|part| part == Component::ParentDir))
    };
    let mut outside = parts.into_iter().flatten().filter(leaves);
    let first = outside.next()?;
    let count = 1 + outside.count();
    Some(format!(
        "{}: the lists name {} outside of this folder (the first: {})",
        root.display(),
        counted(count, "image"),
        first.path.display()
    ))
}

const PARTS: [&str; 3] = [market1501::TRAIN, market1501::QUERY, market1501::GALLERY];
const LISTS: [&str; 3] = ["train.csv", "query.csv", "gallery.csv"];

fn expected() -> String {
    format!("{}/, {}/ and {}/ (or {})", PARTS[0], PARTS[1], PARTS[2], LISTS.join(", "))
}

/// A naming scheme of image files.
#[derive(Clone, Copy, PartialEq)]
enum NamingScheme {
    Market,
    Duke,
}

impl NamingScheme {
    fn of(base: &str) -> Option<(Self, Name)> {
        let market = market1501::parse(base).map(|name| (NamingScheme::Market, name));
        market.or_else(|| dukemtmc::parse(base).map(|name| (NamingScheme::Duke, name)))
    }

    fn id(self) -> &'static str {
        match self {
            NamingScheme::Market => "market1501",
            NamingScheme::Duke => "dukemtmc",
        }
    }
}

/// The image with the identity and camera of its file name. `scheme` is that of the first image, which the others
/// must share.
fn sample(path: PathBuf, scheme: &mut Option<NamingScheme>) -> Result<Sample> {
    let Some((own, name)) = NamingScheme::of(base_name(&path)?) else {
        return Err(Error::image(
            &path,
            format!(
                "the file name gives no identity and camera; name it like {} or {}, or list the images in {}",
                market1501::EXAMPLE,
                dukemtmc::EXAMPLE,
                LISTS.join(", ")
            ),
        ));
    };
    let first = *scheme.get_or_insert(own);
    if own != first {
        return Err(Error::image(
            &path,
            format!(
                "named in the style of {}, and earlier images in that of {}; put each data set in its own folder",
                own.id(),
                first.id()
            ),
        ));
    }
    Ok(Sample { path, pid: name.pid, camid: Some(name.camid) })
}

/// Refuses distractors and junk in the training part: they show no identity, so they have no class.
fn refuse_distractors_and_junk(train: &[Sample]) -> Result<()> {
    match train.iter().find(|s| s.pid <= 0) {
        None => Ok(()),
        Some(Sample { path, pid, .. }) => Err(Error::image(
            path,
            format!(
                "pid {pid} is {}, which cannot be trained on; move the image to {}",
                if *pid == 0 { "a distractor" } else { "junk" },
                market1501::GALLERY
            ),
        )),
    }
}

fn wrong_layout(root: &Path) -> Error {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Error::Data(format!(
            "{}: the folder cannot be listed; check its permissions",
            root.display()
        ));
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_unstable();
    let inner = found.iter().find(|path| PARTS.iter().any(|part| path.join(part).is_dir()));
    if let Some(inner) = inner {
        return Error::Data(format!(
            "{}: this folder is not a data set, but holds one; give {}",
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
