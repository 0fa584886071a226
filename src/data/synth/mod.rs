//! The synthetic pedestrian data set: drawn persons, written as JPEG files in the Market-1501 layout, with junk (-1)
//! and distractors (0000).
//!
//! With this data set the whole pipeline runs without third-party pictures. It poses the problem of
//! re-identification: the same person seen by cameras with different colours. The colours of clothes come from a
//! small common palette (`colour`), and each camera has its own colour cast (`camera`); a person is identified by the
//! combination of garments, patterns, bag, hair, hat and build (`person`).
//!
//! From outside in: `plan` lists the pictures; `picture` draws one from `scene`, `figure`, `things` and
//! `camera`; `canvas` fills outlines. Every draw is a function of the seed and its owner (person, walk, picture), so
//! that a seed gives the same bytes on any number of threads.

mod bag;
mod body;
mod camera;
mod canvas;
mod cloth;
mod colour;
mod draws;
mod figure;
mod head;
mod person;
mod picture;
mod plan;
mod pose;
mod scene;
mod things;

use crate::files::Temporary;
use crate::{Error, Result};
use plan::{BOXES, FOLDERS, Split, Subject, Task};
use rayon::prelude::*;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size and the seed of a synthetic data set. The default is the demo's: about 2,600 pictures, drawn in a few
/// seconds on two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synth {
    /// Seed of all draws.
    pub seed: u64,
    /// Number of training identities, pids 1 to `train_ids`.
    pub train_ids: usize,
    /// Number of test identities, disjoint from the training identities.
    pub test_ids: usize,
    /// Number of cameras, 2 to 6. Each identity is seen by at least two.
    pub cameras: usize,
    /// Number of pictures of an identity from each camera that sees it, 2 to 99; of a test identity the first is the
    /// query.
    pub images_per_camera: RangeInclusive<usize>,
    /// Number of distractors: gallery pictures without a person, pid 0000.
    pub distractors: usize,
    /// Number of junk boxes: gallery pictures that miss most of a person, pid -1.
    pub junk: usize,
    /// Width of a picture in pixels, 16 to 1024.
    pub width: usize,
    /// Height of a picture in pixels, 32 to 2048.
    pub height: usize,
}

impl Default for Synth {
    fn default() -> Self {
        Synth {
            seed: 0,
            train_ids: 96,
            test_ids: 64,
            cameras: 4,
            images_per_camera: 3..=5,
            distractors: 96,
            junk: 64,
            width: 64,
            height: 128,
        }
    }
}

/// The number of written pictures of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pictures in `bounding_box_train`.
    pub train: usize,
    /// Pictures in `query`.
    pub query: usize,
    /// Pictures in `bounding_box_test`, including distractors and junk.
    pub gallery: usize,
    /// Distractors (0000) in the gallery.
    pub distractors: usize,
    /// Junk (-1) in the gallery.
    pub junk: usize,
}

impl Summary {
    /// Number of all pictures.
    pub fn images(&self) -> usize {
        self.train + self.query + self.gallery
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { train, query, gallery, distractors, junk } = self;
        write!(f, "{train} train, {query} query, {gallery} gallery ({distractors} distractors, {junk} junk)")
    }
}

impl Synth {
    /// Draws the set into the new folder `out`; missing parent folders are created.
    ///
    /// The files are written to a temporary folder beside `out`, which is renamed at the end: a failed call leaves
    /// no files. `progress` is called after each picture, from any thread, with the number of finished pictures and
    /// of all pictures.
    ///
    /// # Errors
    /// A number out of range, an `out` that is a file or a folder with contents, and input/output errors (a full
    /// disk, a parent folder without permission to write), each with the path.
    pub fn write(&self, out: &Path, progress: impl Fn(usize, usize) + Sync) -> Result<Summary> {
        self.check()?;
        let (parent, name) = output_folder(out)?;
        fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let temporary = || tempfile::Builder::new().prefix(".bcreid-synth-").tempdir_in(&parent);
        let (temporary, _registered) = Temporary::create(temporary).map_err(Error::io(&parent))?;
        // The set is a folder inside the temporary one, which only its owner may read.
        let draft = temporary.path().join(name);
        for folder in FOLDERS.into_iter().chain([BOXES]) {
            let folder = draft.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let tasks = plan::plan(self);
        let done = AtomicUsize::new(0);
        tasks.par_iter().try_for_each(|task| -> Result<()> {
            let bytes = picture::jpeg(self.seed, task, self.width, self.height)?;
            let file = draft.join(FOLDERS[task.split as usize]).join(&task.name);
            fs::write(&file, &bytes).map_err(Error::io(&file))?;
            if task.is_box_of_a_query() {
                let file = draft.join(BOXES).join(&task.name);
                fs::write(&file, bytes).map_err(Error::io(&file))?;
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, tasks.len());
            Ok(())
        })?;
        let summary = count(&tasks);
        let readme = draft.join("README.txt");
        fs::write(&readme, self.readme(&summary)).map_err(Error::io(&readme))?;
        if out.exists() {
            // The existing folder is empty, and not every system renames onto an empty folder.
            fs::remove_dir(out).map_err(Error::io(out))?;
        }
        fs::rename(&draft, out).map_err(Error::io(out))?;
        Ok(summary)
    }

    fn check(&self) -> Result<()> {
        let range = |what: &str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::Data(format!("synthetic data set: {what} is {value}; choose {low} to {high}")))
        };
        // Market-1501 names have four digits for the pid and six for the frame.
        range("the number of training identities", self.train_ids, 1, 9000)?;
        range("the number of test identities", self.test_ids, 1, 9999 - self.train_ids)?;
        range("the number of cameras", self.cameras, 2, camera::CAMERAS.len())?;
        let (fewest, most) = (*self.images_per_camera.start(), *self.images_per_camera.end());
        range("the smallest number of images per identity and camera", fewest, 2, 99)?;
        range("the largest number of images per identity and camera", most, fewest, 99)?;
        range("the number of distractors", self.distractors, 0, 39_999)?;
        range("the number of junk images", self.junk, 0, 39_999)?;
        range("the width", self.width, 16, 1024)?;
        range("the height", self.height, 32, 2048)
    }

    fn readme(&self, summary: &Summary) -> String {
        format!(
            "A made-up pedestrian set in the Market-1501 layout, drawn by `bcreid synth`. Nobody in it exists.\n\
             \n\
             {summary}\n\
             seed {}, {} training and {} test identities, {} cameras, {} x {} pixels (width x height)\n\
             \n\
             bounding_box_train  pictures to train on\n\
             query               one picture of each test identity and camera\n\
             bounding_box_test   the gallery: test identities, distractors without a person (0000), junk boxes (-1)\n\
             gt_bbox             all pictures of the test identities once more, for multi-query\n\
             \n\
             0002_c1s1_000451_03.jpg is identity 2, camera 1, sequence 1, frame 451, box 3.\n\
             The same seed and numbers give the same files. Use them as you like.\n",
            self.seed, self.train_ids, self.test_ids, self.cameras, self.width, self.height
        )
    }
}

fn count(tasks: &[Task]) -> Summary {
    let split = |split: Split| tasks.iter().filter(|task| task.split == split).count();
    let subject = |test: fn(&Subject) -> bool| tasks.iter().filter(|task| test(&task.subject)).count();
    Summary {
        train: split(Split::Train),
        query: split(Split::Query),
        gallery: split(Split::Gallery),
        distractors: subject(|s| matches!(s, Subject::Distractor)),
        junk: subject(|s| matches!(s, Subject::Junk { .. })),
    }
}

/// The parent and the name of an output folder, which must be absent or empty.
fn output_folder(out: &Path) -> Result<(PathBuf, &std::ffi::OsStr)> {
    let shown = out.display();
    let Some(name) = out.file_name() else {
        return Err(Error::Data(format!("{shown}: not a name for a new folder; give one, like data/synth")));
    };
    if out.is_dir() {
        let mut entries = fs::read_dir(out).map_err(Error::io(out))?;
        if entries.next().is_some() {
            return Err(Error::Data(format!(
                "{shown}: the folder is not empty; choose another or remove it"
            )));
        }
    } else if fs::symlink_metadata(out).is_ok() {
        return Err(Error::Data(format!("{shown}: exists and is no folder; choose another name")));
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}
