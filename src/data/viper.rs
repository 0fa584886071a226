//! VIPeR (Gray, Brennan, Tao: "Evaluating Appearance Models for Recognition, Reacquisition, and Tracking", PETS 2007) and
//! data sets like it: one image of each person at each of two cameras, `cam_a/000_45.bmp` and `cam_b/000_90.bmp`. The
//! number at the start of a file name is the person.
//!
//! Results are means over random halves of the persons. The halves are listed beside the two folders, in one of two forms:
//!
//! - `splits.csv` with the header `split,pid`: the training persons of each split, counted from 1. The others are tested:
//!   queries from camera a, the gallery from camera b.
//! - `splits.json`, a list of splits, each with lists `train`, `query` and `gallery` of `[path, pid, camera]`; this is the
//!   form that torchreid writes. Of a path the last two parts count, of which the first is the camera's folder.
//!
//! Person p becomes pid p + 1, because VIPeR counts from 0, which marks distractors elsewhere.

use super::folder::{self, base_name};
use super::found::Found;
use super::list::{self, Header};
use super::name::number;
use super::{Labels, Sample};
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result, files};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

/// The folders of the two cameras.
pub(super) const FOLDERS: [&str; 2] = ["cam_a", "cam_b"];
/// The folders of the parts, for messages.
pub(super) const PARTS: [&str; 3] = ["cam_a", "cam_a", "cam_b"];
/// The tree in words, for messages.
pub(super) const TREE: &str = "cam_a/, cam_b/ and splits.csv or splits.json";
/// The lists of splits.
pub(super) const LISTS: [&str; 2] = ["splits.csv", "splits.json"];
/// Largest list of splits in bytes: VIPeR's has 2 MB in the second form.
const LARGEST: u64 = 16 * files::MIB;
/// Largest number of splits.
const MAX_SPLITS: usize = 1000;

/// Whether a folder has the two cameras and a list of splits.
pub(super) fn is_tree(root: &Path) -> bool {
    FOLDERS.iter().all(|folder| root.join(folder).is_dir())
        && LISTS.iter().any(|list| root.join(list).is_file())
}

/// Opens one split, counted from 1.
pub(super) fn open(root: &Path, split: usize) -> Result<Found> {
    if !FOLDERS.iter().all(|folder| root.join(folder).is_dir()) {
        return Ok(Found::default());
    }
    let mut notes = Vec::new();
    let mut camera = |which: usize| -> Result<Vec<Sample>> {
        let folder = root.join(FOLDERS[which]);
        let listing = folder::list(&folder, false)?;
        notes.extend(listing.note(&folder));
        listing.require_image(&folder)?;
        let sample = |path| sample(path, which as i64 + 1);
        listing.images.into_iter().map(sample).collect()
    };
    let cameras = [camera(0)?, camera(1)?];
    let [csv, json] = LISTS.map(|list| root.join(list));
    let (splits, [train, query, gallery]) = match (csv.is_file(), json.is_file()) {
        (true, _) => by_persons(&csv, split, &cameras)?,
        (false, true) => by_images(&json, split, &cameras)?,
        (false, false) => {
            return Err(Error::Data(format!(
                "{}: no splits.csv; list the training persons of each split there, with the header split,pid (half of \
                 them, for example)",
                root.display()
            )));
        }
    };
    notes.push(format!("{}: split {split} of {splits}", root.display()));
    let pids = cameras.iter().flatten().map(|sample| (sample.pid, (sample.pid - 1).to_string())).collect();
    let labels = Labels { pids, cameras: BTreeMap::from([(1, FOLDERS[0].into()), (2, FOLDERS[1].into())]) };
    Ok(Found { train, query, gallery, labels, notes, ..Found::default() })
}

/// An image with the person of its name.
fn sample(path: std::path::PathBuf, camid: i64) -> Result<Sample> {
    let person = number(base_name(&path)?).filter(|(person, _)| *person < i64::MAX);
    let Some((person, _)) = person else {
        return Err(Error::image(
            &path,
            "the file name must begin with the person's number, as in 000_45.bmp",
        ));
    };
    Ok(Sample { path, pid: person + 1, camid: Some(camid) })
}

/// The number of splits, and the training, query and gallery images of one.
type Split = (usize, [Vec<Sample>; 3]);

/// The error about a split that does not exist.
fn no_split(file: &Path, split: usize, splits: usize) -> Error {
    let all = counted(splits, "split");
    Error::Data(format!("{}: no split {split}; the list has {all}, counted from 1", file.display()))
}

/// A split by its training persons.
fn by_persons(file: &Path, split: usize, cameras: &[Vec<Sample>; 2]) -> Result<Split> {
    let text = files::read(file, LARGEST)?;
    list::require_records(file, &text)?;
    let mut reader = list::reader(&text, csv::Trim::All, &["split", "pid"]);
    let header = Header::of(&mut reader, file, &text)?;
    let (Some(which), Some(pid)) = (header.column("split")?, header.column("pid")?) else {
        return Err(header.error("write the header split,pid"));
    };
    let known: HashSet<i64> = cameras.iter().flatten().map(|sample| sample.pid).collect();
    let (mut splits, mut trained) = (0, HashSet::new());
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| list::fault(file, &text, &e))? {
        let error = |what: String| {
            Error::Data(format!("{} line {}: {what}", file.display(), list::line(&text, record.position())))
        };
        let number = record[which].parse().ok().filter(|number| (1..=MAX_SPLITS).contains(number));
        let number =
            number.ok_or_else(|| error(format!("split {:?}; give 1 to {MAX_SPLITS}", &record[which])))?;
        let person = record[pid].parse::<i64>().ok().and_then(|person| person.checked_add(1));
        let person = person.filter(|person| known.contains(person)).ok_or_else(|| {
            error(format!("person {:?} has no image in {} or {}", &record[pid], FOLDERS[0], FOLDERS[1]))
        })?;
        splits = splits.max(number);
        if number == split && !trained.insert(person) {
            return Err(error(format!("split {split} names person {:?} a second time", &record[pid])));
        }
    }
    if trained.is_empty() {
        return Err(no_split(file, split, splits));
    }
    let part = |camera: usize, is_trained: bool| {
        cameras[camera].iter().filter(|s| trained.contains(&s.pid) == is_trained).cloned().collect::<Vec<_>>()
    };
    let train = [part(0, true), part(1, true)].concat();
    Ok((splits, [train, part(0, false), part(1, false)]))
}

/// A split in a list of splits by images.
#[derive(Deserialize)]
struct Images {
    train: Vec<Image>,
    query: Vec<Image>,
    gallery: Vec<Image>,
}

/// Path, pid and camera; the last two are those of the file name and the folder.
#[derive(Deserialize)]
struct Image(String, serde::de::IgnoredAny, serde::de::IgnoredAny);

/// A split by its images.
fn by_images(file: &Path, split: usize, cameras: &[Vec<Sample>; 2]) -> Result<Split> {
    let text = files::read(file, LARGEST)?;
    let splits: Vec<Images> = serde_json::from_slice(&text).map_err(|e| {
        Error::Data(format!(
            "{}: not a list of splits with train, query and gallery, each a list of [path, pid, camera]: {}",
            file.display(),
            excerpt(&e.to_string(), 200)
        ))
    })?;
    let of_path: HashMap<(&str, &str), &Sample> = (FOLDERS.iter().zip(cameras))
        .flat_map(|(folder, samples)| samples.iter().map(move |sample| (*folder, sample)))
        .filter_map(|(folder, sample)| Some(((folder, sample.path.file_name()?.to_str()?), sample)))
        .collect();
    let Some(chosen) = split.checked_sub(1).and_then(|split| splits.get(split)) else {
        return Err(no_split(file, split, splits.len()));
    };
    let find = |Image(path, ..): &Image| {
        // Paths of another machine may have its separators.
        let mut parts = path.rsplit(['/', '\\']);
        let (base, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let sample = of_path.get(&(folder, base)).map(|sample| (*sample).clone());
        sample.ok_or_else(|| {
            Error::Data(format!(
                "{}: split {split} names {}, and there is no such image",
                file.display(),
                excerpt(path, 100)
            ))
        })
    };
    let part = |images: &[Image]| images.iter().map(find).collect::<Result<Vec<_>>>();
    Ok((splits.len(), [part(&chosen.train)?, part(&chosen.query)?, part(&chosen.gallery)?]))
}
