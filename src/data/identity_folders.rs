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
use super::numbering::{self, Labelled, Numbering};
use super::{dukemtmc, market1501};
use crate::{Error, Result};
use std::path::{Component, Path};

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
        [pid, camera] => (pid, Some(camera.to_string())),
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
        if name.len() > numbering::LONGEST || name.parse::<i64>().is_ok_and(|number| number < least) {
            return Err(Error::image(
                path,
                format!(
                    "the folder {name:?} is no identity or camera: give a name of at most {} bytes or a whole number, for \
                     junk the identity -1",
                    numbering::LONGEST
                ),
            ));
        }
    }
    let base = base_name(path)?;
    let in_name = market1501::parse(base).or_else(|| dukemtmc::parse(base)).map(|name| name.camid);
    let labelled = Labelled { path: path.to_path_buf(), pid: pid.to_string(), camid: None };
    Ok(Image { labelled, in_name, in_folder })
}
