//! MARS (Zheng, Bie, Sun, Wang, Su, Wang, Tian: "MARS: A Video Benchmark for Large-Scale Person Re-Identification", ECCV
//! 2016): tracklets of the persons of Market-1501. `bbox_train/0001/0001C1T0001F001.jpg` is person 1, camera 1, tracklet 1,
//! frame 1.
//!
//! | file below `info/` | content |
//! |---|---|
//! | `train_name.txt`, `test_name.txt` | the images' names in order |
//! | `tracks_train_info.mat`, `tracks_test_info.mat` | a row for each tracklet: first image, last image (lines of the list, from 1), person, camera |
//! | `query_IDX.mat` | the rows of the test tracklets that are queries, from 1; the others are the gallery |
//!
//! Person -1 (`00-1`) is junk, 0 a distractor, as in Market-1501. Evaluation represents a tracklet by the mean of its
//! frames' features; training uses frames as single images.

use super::found::{Found, Tracklets};
use super::plain_list::{self, error, image, lines};
use super::{Sample, mat};
use crate::{Error, Result};
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The folders of the training and test images.
pub(super) const FOLDERS: [&str; 2] = ["bbox_train", "bbox_test"];
/// The lists of the parts, for messages.
pub(super) const PARTS: [&str; 3] =
    ["info/tracks_train_info.mat", "info/query_IDX.mat", "info/tracks_test_info.mat"];
/// The tree in words, for messages.
pub(super) const TREE: &str = "bbox_train/, bbox_test/ and info/ with train_name.txt, test_name.txt, tracks_train_info.mat, \
                               tracks_test_info.mat and query_IDX.mat";
/// The lists of images.
const NAMES: [&str; 2] = ["info/train_name.txt", "info/test_name.txt"];

/// A tracklet.
struct Tracklet {
    frames: Vec<PathBuf>,
    pid: i64,
    camid: i64,
}

/// Opens the data set.
pub(super) fn open(root: &Path) -> Result<Found> {
    let [of_train, of_queries, of_test] = PARTS.map(|part| root.join(part));
    let mut found = Found::default();
    let mut tracklets = Tracklets::default();
    if of_train.is_file() {
        let all = read(&of_train, "track_train_info", &root.join(NAMES[0]), &root.join(FOLDERS[0]))?;
        if let Some(row) = all.iter().position(|tracklet| tracklet.pid <= 0) {
            return Err(fault(&of_train, row, "a training tracklet of a distractor or of junk"));
        }
        tracklets.train = all.len();
        append(&mut found.train, all);
    }
    if of_test.is_file() && of_queries.is_file() {
        let all = read(&of_test, "track_test_info", &root.join(NAMES[1]), &root.join(FOLDERS[1]))?;
        let rows = mat::read(&of_queries, "query_IDX")?.all();
        let queries: Option<HashSet<usize>> = rows.and_then(|rows| {
            let rows = rows.into_iter().map(|row| usize::try_from(row).ok()?.checked_sub(1));
            rows.map(|row| row.filter(|row| *row < all.len())).collect()
        });
        let queries = queries.ok_or_else(|| {
            let (file, tracklets) = (of_queries.display(), all.len());
            Error::Data(format!(
                "{file}: queries are whole numbers from 1 to {tracklets}, the test tracklets"
            ))
        })?;
        for (row, tracklet) in all.into_iter().enumerate() {
            let (samples, ranges) = match queries.contains(&row) {
                true => (&mut found.query, &mut tracklets.query),
                false => (&mut found.gallery, &mut tracklets.gallery),
            };
            ranges.push(append(samples, vec![tracklet]));
        }
    }
    found.tracklets = Some(tracklets);
    Ok(found)
}

/// Appends the frames, and returns their range.
fn append(samples: &mut Vec<Sample>, tracklets: Vec<Tracklet>) -> Range<usize> {
    let first = samples.len();
    for Tracklet { frames, pid, camid } in tracklets {
        samples.extend(frames.into_iter().map(|path| Sample { path, pid, camid: Some(camid) }));
    }
    first..samples.len()
}

/// The tracklets of a matrix of rows `[first, last, pid, camera]`.
fn read(info: &Path, name: &str, list: &Path, folder: &Path) -> Result<Vec<Tracklet>> {
    let matrix = mat::read(info, name)?;
    if matrix.columns != 4 {
        return Err(Error::Data(format!(
            "{}: {} x {} values; a tracklet has four: first image, last image, person, camera",
            info.display(),
            matrix.rows,
            matrix.columns
        )));
    }
    let text = plain_list::read(list)?;
    let names: Vec<(usize, &str)> = lines(&text).collect();
    let mut taken = 0;
    let tracklet = |row: usize| -> Result<Tracklet> {
        let values = matrix.row(row).ok_or_else(|| fault(info, row, "a value is no whole number"))?;
        let (first, last, pid, camid) = (values[0], values[1], values[2], values[3]);
        if first < 1 || last < first || last > names.len() as i64 {
            let what = format!("images {first} to {last}, and {} lists {}", list.display(), names.len());
            return Err(fault(info, row, &what));
        }
        if pid < -1 || camid < 0 {
            return Err(fault(info, row, &format!("person {pid}, camera {camid}")));
        }
        let images = &names[first as usize - 1..last as usize];
        // Rows that overlap could name each image many times.
        taken += images.len();
        if taken > names.len() {
            return Err(fault(info, row, "images that earlier tracklets have too"));
        }
        let frame = |(line, name): &(usize, &str)| {
            // The folder is the person as the name writes it: its first four characters.
            let person = name.get(..4).unwrap_or_default();
            image(folder, &format!("{person}/{name}")).map_err(|what| error(list, *line, what))
        };
        let frames = images.iter().map(frame).collect::<Result<Vec<_>>>()?;
        Ok(Tracklet { frames, pid, camid })
    };
    (0..matrix.rows).map(tracklet).collect()
}

fn fault(info: &Path, row: usize, what: &str) -> Error {
    Error::Data(format!("{} row {}: {what}; unpack the list again", info.display(), row + 1))
}

/// The folder of test images, if the lists of a test are there.
pub(super) fn test_folder(root: &Path) -> Option<PathBuf> {
    let lists = [PARTS[1], PARTS[2], NAMES[1]].iter().all(|file| root.join(file).is_file());
    let folder = root.join(FOLDERS[1]);
    (lists && folder.is_dir()).then_some(folder)
}
