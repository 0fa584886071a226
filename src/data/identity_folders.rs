//! Data sets with a folder for each identity: `train/NAME/*.jpg`, `query/NAME/*.jpg`, `gallery/NAME/*.jpg`. `train_all`
//! takes the place of `train`, which may be a part of it.
//!
//! The camera of an image is
//!
//! - that of its file name, if all images are named in the style of Market-1501 or DukeMTMC-reID, or
//! - the folder between the identity's and the image (`train/NAME/CAMERA/*.jpg`), if all images have one, or
//! - unknown.

use super::folder::{self, base_name};
use super::found::Found;
use super::labelled::{self, Labelled};
use super::numbering::Numbering;
use super::{dukemtmc, market1501};
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result};
use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Number of folders without images that a note names.
const SHOWN: usize = 5;
/// Number of characters of their names in a note.
const LONGEST_SHOWN: usize = 40;

/// The folders of each part; the first that exists is read.
const PARTS: [&[&str]; 3] = [&["train_all", "train"], &["query"], &["gallery"]];

/// An image with everything that can give its camera.
struct Image {
    labelled: Labelled,
    in_name: Option<i64>,
    in_folder: Option<String>,
}

/// Opens the data set.
pub(super) fn open(root: &Path) -> Result<Found> {
    let mut notes = Vec::new();
    let mut part = |names: &[&str]| -> Result<Vec<Image>> {
        let Some(folder) = names.iter().map(|name| root.join(name)).find(|folder| folder.is_dir()) else {
            return Ok(Vec::new());
        };
        let listing = folder::list(&folder, true)?;
        notes.extend(listing.note(&folder));
        listing.require_image(&folder)?;
        notes.extend(without_image(&folder, &listing.images)?);
        listing.images.into_iter().map(|path| image(&folder, &path)).collect()
    };
    let mut parts = [part(PARTS[0])?, part(PARTS[1])?, part(PARTS[2])?];
    let all = || parts.iter().flatten();
    let by_name = all().all(|image| image.in_name.is_some());
    let by_folder = !by_name && all().all(|image| image.in_folder.is_some());
    if !by_name
        && !by_folder
        && let Some(image) = all().find(|image| image.in_folder.is_some())
    {
        notes.push(format!(
            "{}: {} is in a folder below its identity's, and others are not, so no camera is known",
            root.display(),
            image.labelled.path.display()
        ));
    }
    for image in parts.iter_mut().flatten() {
        image.labelled.camid = match (by_name, by_folder) {
            (true, _) => image.in_name.map(|camera| camera.to_string()),
            (_, true) => image.in_folder.take(),
            _ => None,
        };
    }
    let parts = parts.map(|part| part.into_iter().map(|image| image.labelled).collect());
    let (found, of_names) = Numbering::found(root, parts)?;
    notes.extend(of_names);
    Ok(Found { notes, ..found })
}

/// A note about the folders of a part's identities that hold no image.
fn without_image(part: &Path, images: &[PathBuf]) -> Result<Option<String>> {
    let first_folder = |image: &PathBuf| {
        let folder = image.strip_prefix(part).ok()?.components().next()?;
        Some(folder.as_os_str().to_owned())
    };
    let with_image: HashSet<OsString> = images.iter().filter_map(first_folder).collect();
    let mut empty = Vec::new();
    for entry in std::fs::read_dir(part).map_err(Error::io(part))? {
        let entry = entry.map_err(Error::io(part))?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if !hidden && !with_image.contains(&name) && entry.path().is_dir() {
            empty.push(name.to_string_lossy().into_owned());
        }
    }
    empty.sort_unstable();
    let shown: Vec<String> = empty.iter().take(SHOWN).map(|name| excerpt(name, LONGEST_SHOWN)).collect();
    Ok((!empty.is_empty()).then(|| {
        format!(
            "{}: left out {} without an image ({}{}); images end in {}",
            part.display(),
            counted(empty.len(), "folder"),
            shown.join(", "),
            if empty.len() > SHOWN { ", ..." } else { "" },
            folder::endings()
        )
    }))
}

/// An image of a part.
fn image(part: &Path, path: &Path) -> Result<Image> {
    let inner = path.strip_prefix(part).unwrap_or(path);
    let folders: Vec<&str> = inner
        .parent()
        .into_iter()
        .flat_map(Path::components)
        .filter_map(|component| match component {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    let (pid, in_folder) = match folders[..] {
        [pid] => (pid, None),
        [pid, camera] => (pid, Some(labelled::composed(camera))),
        _ => {
            let what = if folders.is_empty() { "in no folder of an identity" } else { "in too many folders" };
            return Err(Error::image(
                path,
                format!(
                    "{what}; the layout folders has {}/IDENTITY/IMAGE or {0}/IDENTITY/CAMERA/IMAGE",
                    part.display()
                ),
            ));
        }
    };
    for (name, least) in folders.into_iter().zip([-1, 0]) {
        if name.len() > labelled::LONGEST || name.parse::<i64>().is_ok_and(|number| number < least) {
            return Err(Error::image(
                path,
                format!(
                    "the folder {name:?} is no identity or camera: give a name of at most {} bytes or a whole number, for \
                     junk the identity -1",
                    labelled::LONGEST
                ),
            ));
        }
    }
    let base = base_name(path)?;
    let in_name = market1501::parse(base).or_else(|| dukemtmc::parse(base)).map(|name| name.camid);
    let labelled =
        Labelled { path: path.to_path_buf(), pid: labelled::composed(pid), camid: None, line: None };
    Ok(Image { labelled, in_name, in_folder })
}
