//! Folders of images: the listing of image files, and folders without a data set's layout, for feature extraction.
//!
//! An image is a file whose name has one of the [`EXTENSIONS`], in any case. Other files (`Thumbs.db`, read-me
//! files, hidden files such as the `._*.jpg` of macOS archives) are skipped with a note.
//!
//! A link to a folder is followed only within the listed folder: a data set from elsewhere must not read the user's other
//! folders. The listed folder itself may be a link; a note says where it leads.

use super::decode::EXTENSIONS;
use super::name::Name;
use super::{Sample, dukemtmc, market1501};
use crate::{Error, Result};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A folder of images that need not be a data set.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The images by path. Identities are read from names in the style of Market-1501 or DukeMTMC-reID; other names
    /// give pid -1. Cameras are read from the names if every name has one, and are all `None` otherwise: a feature
    /// file holds the cameras of all its images or of none.
    pub samples: Vec<Sample>,
    /// Notes for the user: the skipped files, and the number of names without identity and camera.
    pub notes: Vec<String>,
}

impl Folder {
    /// Lists all images in a folder and its sub-folders, or the single image `path`.
    ///
    /// # Errors
    /// A missing or unreadable path, a folder without an image, a name that is not UTF-8.
    pub fn open(path: &Path) -> Result<Self> {
        let meta = std::fs::metadata(path).map_err(Error::io(path))?;
        let listing = if meta.is_dir() {
            // The user gave this path, so its being a link needs no note.
            Listing { leads_to: None, ..list(path, true)? }
        } else {
            Listing { images: vec![path.to_path_buf()], ..Listing::default() }
        };
        listing.require_image(path)?;
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

/// The identity and the camera in a file name in the style of Market-1501 or DukeMTMC-reID; -1 each for other names.
pub fn identity_of_name(path: &Path) -> (i64, i64) {
    let base = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = market1501::parse(base).or_else(|| dukemtmc::parse(base));
    name.map_or((-1, -1), |Name { pid, camid }| (pid, camid))
}

/// A note about the names without identity and camera; none if every name has both.
fn unnamed(path: &Path, samples: &[Sample]) -> Option<String> {
    let mut unnamed = samples.iter().filter(|s| s.camid.is_none());
    let first = unnamed.next()?;
    let (count, all) = (1 + unnamed.count(), samples.len());
    let consequence = if count == all {
        "identities and cameras are unknown; they are known with the data set's folder (extract --data DIR --part gallery)"
    } else {
        "these images get pid -1 (junk), and no image's camera is used"
    };
    Some(format!(
        "{}: {count} of {all} names give no identity and camera (the first: {}); {consequence}",
        path.display(),
        base_name(&first.path).unwrap_or_default(),
    ))
}

/// The contents of a folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The images, sorted.
    pub images: Vec<PathBuf>,
    /// The names of everything else.
    pub skipped: Vec<String>,
    /// The links to folders outside of this one, which are not followed.
    pub outside: Vec<PathBuf>,
    /// The place to which this folder leads, if it is a link.
    pub leads_to: Option<PathBuf>,
}

impl Listing {
    /// A note about skipped files and about links; none if there is nothing to say.
    pub fn note(&self, folder: &Path) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(place) = &self.leads_to {
            parts.push(format!("this folder is a link to {}", place.display()));
        }
        if let Some(first) = self.outside.first() {
            let are_links = match self.outside.len() {
                1 => "is a link to a folder outside and is not followed".to_string(),
                n => format!("and {} more are links to folders outside and are not followed", n - 1),
            };
            parts.push(format!(
                "{} {are_links} (copy the images, or list them in a file)",
                first.strip_prefix(folder).unwrap_or(first).display()
            ));
        }
        if let Some(first) = self.skipped.first() {
            parts.push(match self.skipped.len() {
                1 => format!("skipped 1 entry that is no image by name ({first})"),
                n => format!("skipped {n} entries that are no image by name ({first}, ...)"),
            });
        }
        (!parts.is_empty()).then(|| format!("{}: {}", folder.display(), parts.join("; ")))
    }

    /// Checks that the folder holds an image.
    ///
    /// # Errors
    /// If it holds none; the error names a link that was not followed.
    pub fn require_image(&self, folder: &Path) -> Result<()> {
        if !self.images.is_empty() {
            return Ok(());
        }
        let link = self
            .outside
            .first()
            .map(|link| format!(" ({} is a link to a folder outside and is not followed)", link.display()));
        Err(Error::Data(format!(
            "{}: no image ({}) in this folder or its sub-folders{}; put the images there or give another folder",
            folder.display(),
            endings(),
            link.unwrap_or_default()
        )))
    }
}

/// Lists a folder, with its sub-folders if `deep`; otherwise the sub-folders count as skipped.
pub(super) fn list(folder: &Path, deep: bool) -> Result<Listing> {
    let canonical = |folder: &Path| folder.canonicalize().map_err(Error::io(folder));
    let root = canonical(folder)?;
    let leads_to =
        std::fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_symlink()).then(|| root.clone());
    let mut listing = Listing { leads_to, ..Listing::default() };
    let mut pending = vec![folder.to_path_buf()];
    // A symbolic link may lead back to a parent folder, which would make the search endless.
    let mut seen = HashSet::new();
    while let Some(folder) = pending.pop() {
        let place = canonical(&folder)?;
        if !place.starts_with(&root) {
            listing.outside.push(folder);
            continue;
        }
        if !seen.insert(place) {
            continue;
        }
        for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let path = entry.map_err(Error::io(&folder))?.path();
            let base = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if deep && !base.starts_with('.') {
                    pending.push(path);
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
    listing.outside.sort_unstable();
    Ok(listing)
}

/// Whether a folder has sub-folders and no image beside them.
pub(super) fn holds_folders_alone(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut folders = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        match path.is_dir() {
            true => folders += 1,
            false if has_image_name(&path) => return false,
            false => {}
        }
    }
    folders > 0
}

/// Whether a path has the extension of an image that this program reads.
pub(super) fn has_image_name(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The extensions of images in words: `.jpg, .png`.
pub(super) fn endings() -> String {
    EXTENSIONS.map(|extension| format!(".{extension}")).join(", ")
}

/// The last component of a path as text. The whole path must be UTF-8, because feature files store it.
pub(super) fn base_name(path: &Path) -> Result<&str> {
    let unreadable = || Error::image(path, "the path is not valid UTF-8; rename it");
    path.to_str().ok_or_else(unreadable)?;
    path.file_name().and_then(|n| n.to_str()).ok_or_else(unreadable)
}
