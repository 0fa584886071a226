//! A made-up pedestrian set: people drawn by this crate's own code, written as JPEG files in the Market-1501
//! layout, with junk (-1) and distractors (0000).
//!
//! It is there so that the whole pipeline runs anywhere without somebody else's pictures, and it asks the
//! question of re-identification: the same person under cameras that disagree about every colour. Clothes come
//! from a small palette that all share (`colour`), cameras have casts of their own (`camera`); what names a
//! person is the combination of garments, patterns, bag, hair, hat and build (`person`).
//!
//! From outside in: `plan` lists the pictures; `picture` draws one from `scene`, `figure`, `things` and
//! `camera`; `canvas` fills outlines. Every draw is a function of (seed, what it belongs to), so one
//! seed gives the same bytes on any number of threads.

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

use crate::{Error, Result};
use plan::{BOXES, FOLDERS, Part, Subject, Task};
use rayon::prelude::*;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to draw. The default is the demo's set: about 2,600 pictures, a few seconds on two cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synth {
    /// Seed of all draws.
    pub seed: u64,
    /// Identities to train on, pids 1 to `train_ids`.
    pub train_ids: usize,
    /// Identities to test on, none of them among the others.
    pub test_ids: usize,
    /// Cameras, 2 to 6. Each identity is seen by at least two.
    pub cameras: usize,
    /// Pictures of an identity from a camera that sees it: 2 to 99, the first of a test identity's is the query.
    pub images_per_camera: RangeInclusive<usize>,
    /// Gallery pictures without a person, pid 0000.
    pub distractors: usize,
    /// Gallery boxes that miss most of a person, pid -1.
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

/// How many pictures of each kind were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// In `bounding_box_train`.
    pub train: usize,
    /// In `query`.
    pub query: usize,
    /// In `bounding_box_test`, with the two kinds below.
    pub gallery: usize,
    /// Distractors (0000) of the gallery.
    pub distractors: usize,
    /// Junk (-1) of the gallery.
    pub junk: usize,
}

impl Summary {
    /// All pictures.
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
    /// Draws the set into the new folder `out`, whose parents are made as needed.
    ///
    /// The files are written to a folder beside `out` that takes its name at the end: a run that fails leaves
    /// nothing behind. `progress` is called after each picture with how many are done and how many there are,
    /// from any thread.
    ///
    /// # Errors
    /// A number out of range, an `out` that is a file or a folder with something in it, and whatever the system
    /// refuses (a full disk, a parent that may not be written), each with the path.
    pub fn write(&self, out: &Path, progress: impl Fn(usize, usize) + Sync) -> Result<Summary> {
        self.check()?;
        let (parent, name) = free_place(out)?;
        fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let workshop = tempfile::Builder::new()
            .prefix(".bcreid-synth-")
            .tempdir_in(&parent)
            .map_err(Error::io(&parent))?;
        // A folder inside, because the temporary one itself may be read by its owner only.
        let draft = workshop.path().join(name);
        for folder in FOLDERS.into_iter().chain([BOXES]) {
            let folder = draft.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let tasks = plan::plan(self);
        let done = AtomicUsize::new(0);
        tasks.par_iter().try_for_each(|task| -> Result<()> {
            let bytes = picture::jpeg(self.seed, task, self.width, self.height)?;
            let file = draft.join(FOLDERS[task.part as usize]).join(&task.name);
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
            // It is empty, and not every system renames onto an empty folder.
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
            Err(Error::Data(format!("synth: {what} is {value}; choose {low} to {high}")))
        };
        // Market-1501 names have four digits for the pid and six for the frame.
        range("the number of training identities", self.train_ids, 1, 9000)?;
        range("the number of test identities", self.test_ids, 1, 9999 - self.train_ids)?;
        range("the number of cameras", self.cameras, 2, camera::CAMERAS.len())?;
        let (fewest, most) = (*self.images_per_camera.start(), *self.images_per_camera.end());
        range("the fewest images an identity and camera", fewest, 2, 99)?;
        range("the most images an identity and camera", most, fewest, 99)?;
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
    let part = |part: Part| tasks.iter().filter(|task| task.part == part).count();
    let subject = |test: fn(&Subject) -> bool| tasks.iter().filter(|task| test(&task.subject)).count();
    Summary {
        train: part(Part::Train),
        query: part(Part::Query),
        gallery: part(Part::Gallery),
        distractors: subject(|s| matches!(s, Subject::Nobody)),
        junk: subject(|s| matches!(s, Subject::BadBox { .. })),
    }
}

/// The parent and the name of a folder that does not exist yet or is empty.
fn free_place(out: &Path) -> Result<(PathBuf, &std::ffi::OsStr)> {
    let shown = out.display();
    let Some(name) = out.file_name() else {
        return Err(Error::Data(format!("{shown}: is no name for a new folder; give one, like data/synth")));
    };
    if out.is_dir() {
        let mut entries = fs::read_dir(out).map_err(Error::io(out))?;
        if entries.next().is_some() {
            return Err(Error::Data(format!(
                "{shown}: the folder is not empty; choose a new one or remove it"
            )));
        }
    } else if fs::symlink_metadata(out).is_ok() {
        return Err(Error::Data(format!("{shown}: exists and is no folder; choose a new one")));
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    Ok((parent, name))
}
