//! Which files of a folder are images; and a plain folder of images with any names, for feature extraction.
//!
//! An image is what ends in `.jpg`, `.jpeg` or `.png` (in any case). Everything else (`Thumbs.db`, read-me
//! files, hidden files such as the `._*.jpg` that macOS leaves in archives) is skipped and noted.

use super::name::Name;
use super::{Sample, dukemtmc, market1501};
use crate::{Error, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A folder of images that need not be a data set.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The images by path. Who is on them is read from names in the style of Market-1501 or DukeMTMC-reID;
    /// other names give pid -1. Cameras are those of the names if every name has one, or else all `None`: a
    /// feature file knows the cameras of all its images or of none.
    pub samples: Vec<Sample>,
    /// What was skipped, and how many names said nothing.
    pub notes: Vec<String>,
}

impl Folder {
    /// All images in a folder and its sub-folders, or the one image that `path` is.
    ///
    /// # Errors
    /// A path that is not there or cannot be read, a folder without an image, a name that is not UTF-8.
    pub fn open(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(Error::io(path))?;
        let listing = if meta.is_dir() {
            list(path, true)?
        } else {
            Listing { images: vec![path.to_path_buf()], ..Listing::default() }
        };
        if listing.images.is_empty() {
            return Err(Error::Data(format!(
                "{}: no .jpg, .jpeg or .png file in it or in its sub-folders",
                path.display()
            )));
        }
        let mut notes: Vec<String> = listing.note(path).into_iter().collect();
        let mut samples = Vec::with_capacity(listing.images.len());
        for path in listing.images {
            let base = base_name(&path)?;
            let name = market1501::parse(base).or_else(|| dukemtmc::parse(base));
            let (pid, camid) = name.map_or((-1, None), |Name { pid, camid }| (pid, Some(camid)));
            samples.push(Sample { path, pid, camid });
        }
        if let Some(note) = unnamed(path, &samples) {
            notes.push(note);
            samples.iter_mut().for_each(|s| s.camid = None);
        }
        Ok(Folder { samples, notes })
    }
}

/// One line about the names that said nothing, if there are any.
fn unnamed(path: &Path, samples: &[Sample]) -> Option<String> {
    let mut unnamed = samples.iter().filter(|s| s.camid.is_none());
    let first = unnamed.next()?;
    let (count, all) = (1 + unnamed.count(), samples.len());
    let so = if count == all {
        "identities and cameras are not known"
    } else {
        "these images are of nobody known, and no image's camera is used"
    };
    Some(format!(
        "{}: {count} of {all} names say no person and camera (the first: {}); {so}",
        path.display(),
        base_name(&first.path).unwrap_or_default(),
    ))
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The images, sorted.
    pub images: Vec<PathBuf>,
    /// The names of everything else.
    pub skipped: Vec<String>,
}

impl Listing {
    /// One line about what was skipped, if anything was.
    pub fn note(&self, folder: &Path) -> Option<String> {
        let first = self.skipped.first()?;
        Some(format!(
            "{}: skipped {} that {} not .jpg, .jpeg or .png ({first}{})",
            folder.display(),
            if self.skipped.len() == 1 {
                "1 entry".into()
            } else {
                format!("{} entries", self.skipped.len())
            },
            if self.skipped.len() == 1 { "is" } else { "are" },
            if self.skipped.len() == 1 { "" } else { ", ..." },
        ))
    }
}

/// Lists a folder, with its sub-folders if `deep`; otherwise those count as skipped.
pub(super) fn list(folder: &Path, deep: bool) -> Result<Listing> {
    let mut listing = Listing::default();
    let mut waiting = vec![folder.to_path_buf()];
    // Links may lead back to a folder above.
    let mut seen = HashSet::new();
    while let Some(folder) = waiting.pop() {
        if !seen.insert(folder.canonicalize().map_err(Error::io(&folder))?) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let base = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if deep && !base.starts_with('.') {
                    waiting.push(path);
                } else {
                    listing.skipped.push(base);
                }
            } else if has_image_name(&path) && !base.starts_with('.') {
                base_name(&path)?;
                listing.images.push(path);
            } else {
                listing.skipped.push(base);
            }
        }
    }
    listing.images.sort_unstable();
    listing.skipped.sort_unstable();
    Ok(listing)
}

/// Whether a path ends like an image this program reads.
pub(super) fn has_image_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["jpg", "jpeg", "png"].iter().any(|e| extension.eq_ignore_ascii_case(e))
}

/// A path's last part as text; paths are written into feature files, which hold UTF-8.
pub(super) fn base_name(path: &Path) -> Result<&str> {
    let unreadable = || Error::image(path, "the path is not valid UTF-8; rename it");
    path.to_str().ok_or_else(unreadable)?;
    path.file_name().and_then(|n| n.to_str()).ok_or_else(unreadable)
}
