//! MSMT17 (Wei, Zhang, Gao, Tian: "Person Transfer GAN to Bridge Domain Gap for Person Re-Identification", CVPR 2018):
//! two folders of images and four lists. V1 calls the folders `train` and `test`, V2 `mask_train_v2` and `mask_test_v2`;
//! the lists are the same.
//!
//! A line of a list is `0000/0000_000_01_0303morning_0008_1.jpg 0`: a path below the folder, and the identity. The third
//! field of the file name is the camera, 1 to 15. The identities of both folders count from 0 and are other persons: a
//! training identity p becomes pid p + 1, a test identity p becomes 1,000,001 + p, and both keep their names.
//!
//! Training uses `list_train.txt` and `list_val.txt`, as the published 32,621 images do.

use super::found::Found;
use super::plain_list::{self, error, image, lines};
use super::{Labels, Sample};
use crate::Result;
use crate::error::excerpt;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lists of the training, query and gallery images, for messages.
pub(super) const PARTS: [&str; 3] = ["list_train.txt", "list_query.txt", "list_gallery.txt"];
/// All lists; the first two are of the training folder.
pub(super) const LISTS: [&str; 4] = ["list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt"];
/// The tree in words, for messages.
pub(super) const TREE: &str = "list_train.txt, list_val.txt, list_query.txt and list_gallery.txt beside train/ and test/ \
                               (or mask_train_v2/ and mask_test_v2/)";
/// The folders of training images of V1 and V2.
const TRAIN: [&str; 2] = ["train", "mask_train_v2"];
/// The folders of test images of V1 and V2.
const TEST: [&str; 2] = ["test", "mask_test_v2"];

/// Largest identity in a list.
const MAX_IDENTITY: i64 = 999_999;

/// Opens the data set.
pub(super) fn open(root: &Path) -> Result<Found> {
    let mut labels = BTreeMap::new();
    let mut part = |list: &str, folders: [&str; 2], first: i64| -> Result<Vec<Sample>> {
        let file = root.join(list);
        if !file.is_file() {
            return Ok(Vec::new());
        }
        let folder = folders.map(|folder| root.join(folder)).into_iter().find(|folder| folder.is_dir());
        let Some(folder) = folder else {
            return Err(error(
                &file,
                1,
                format!("no folder {} or {} beside this list", folders[0], folders[1]),
            ));
        };
        let samples = read(&file, &folder, first)?;
        let what = if first == 1 { "train" } else { "test" };
        labels.extend(samples.iter().map(|s| (s.pid, format!("{what}/{:04}", s.pid - first))));
        Ok(samples)
    };
    let mut train = part(LISTS[0], TRAIN, 1)?;
    train.extend(part(LISTS[1], TRAIN, 1)?);
    let of_test = MAX_IDENTITY + 2;
    let (query, gallery) = (part(LISTS[2], TEST, of_test)?, part(LISTS[3], TEST, of_test)?);
    let labels = Labels { pids: labels, cameras: BTreeMap::new() };
    let mut notes = Vec::new();
    if !train.is_empty() && !root.join(LISTS[1]).is_file() {
        notes.push(format!(
            "{}: no {}, so its images are not in the training part",
            root.display(),
            LISTS[1]
        ));
    }
    Ok(Found { train, query, gallery, labels, notes, ..Found::default() })
}

/// The images of a list; identity 0 becomes pid `first`.
fn read(file: &Path, folder: &Path, first: i64) -> Result<Vec<Sample>> {
    let text = plain_list::read(file)?;
    let sample = |line: &str| -> std::result::Result<Sample, String> {
        let (path, identity) = line.rsplit_once([' ', '\t']).ok_or_else(|| {
            format!(
                "found \"{}\"; a line is PATH IDENTITY, such as 0000/0000_000_01_0303morning_0008_1.jpg 0",
                excerpt(line, 60)
            )
        })?;
        let identity = identity.parse().ok().filter(|identity| (0..=MAX_IDENTITY).contains(identity));
        let identity: i64 = identity
            .ok_or_else(|| format!("no identity at the end; give a whole number from 0 to {MAX_IDENTITY}"))?;
        let path = image(folder, path.trim())?;
        let camid = camera(&path).ok_or_else(|| {
            format!(
                "{}: the third field of the name, between underscores, must be the camera",
                path.display()
            )
        })?;
        Ok(Sample { path, pid: first + identity, camid: Some(camid) })
    };
    let samples = lines(&text).map(|(number, line)| sample(line).map_err(|what| error(file, number, what)));
    samples.collect()
}

/// The camera of a file name.
fn camera(path: &Path) -> Option<i64> {
    path.file_name()?.to_str()?.split('_').nth(2)?.parse().ok().filter(|camera| *camera >= 0)
}

/// The folder of test images, if the lists of a test are there.
pub(super) fn test_folder(root: &Path) -> Option<PathBuf> {
    let lists = LISTS[2..].iter().all(|list| root.join(list).is_file());
    let folder = TEST.map(|folder| root.join(folder)).into_iter().find(|folder| folder.is_dir());
    folder.filter(|_| lists)
}
