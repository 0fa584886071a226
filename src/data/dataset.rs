//! Data sets: training, query and gallery images with identities and cameras.

use super::found::{Found, Tracklets};
use super::labelled::Labelled;
use super::layout::Layout;
use super::numbering::Numbering;
use super::{
    Labels, Sample, box_folders, identity_folders, list, market1501, mars, msmt17, official, overlap, viper,
    wrong_tree,
};
use crate::{Error, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A data set of three parts; a missing part is empty.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// Name of the layout, [`Layout::name`].
    pub name: String,
    /// The data set's folder.
    pub root: PathBuf,
    /// Training images, by path (or in the list's order).
    pub train: Vec<Sample>,
    /// Query images; with [`Dataset::tracklets`] their frames.
    pub query: Vec<Sample>,
    /// Gallery images; with [`Dataset::tracklets`] their frames.
    pub gallery: Vec<Sample>,
    /// Names of identities and cameras that the data set does not number.
    pub labels: Labels,
    /// For a data set of tracklets, the frames of each.
    pub tracklets: Option<Tracklets>,
    /// Notes for the user, one line each: files that were skipped.
    pub notes: Vec<String>,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The training images.
    Train = 0,
    /// The query images.
    Query = 1,
    /// The gallery images.
    Gallery = 2,
}

/// Layout and split of a data set, where its folder does not show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The layout; `None` is the one that the folder has.
    pub layout: Option<Layout>,
    /// The split of a data set with several, from 1; `None` is the first.
    pub split: Option<usize>,
}

impl Dataset {
    /// Opens the data set in a folder, in the layout that the folder has.
    ///
    /// # Errors
    /// As [`Dataset::open_as`].
    pub fn open(root: &Path) -> Result<Self> {
        Dataset::open_as(root, OpenOptions::default())
    }

    /// Opens the data set in a folder. Parts of the layout may be missing.
    ///
    /// # Errors
    /// A path that is no folder or has another layout, a part without images, an image whose name has no
    /// identity, a distractor or junk image in the training part, a faulty list, a split that does not exist.
    pub fn open_as(root: &Path, options: OpenOptions) -> Result<Self> {
        wrong_tree::require_folder(root, options.layout)?;
        let layout = match options.layout {
            Some(layout) => layout,
            None => Layout::detect(root)?.ok_or_else(|| wrong_tree::error(root, None))?,
        };
        if options.split.is_some() && layout != Layout::Viper {
            return Err(Error::Data(format!(
                "{}: a split is chosen, and a data set in the layout {layout} has none; leave the choice out",
                root.display()
            )));
        }
        let (layout, found) = match layout {
            Layout::List => (layout, list_parts(root)?),
            Layout::Folders => (layout, identity_folders::open(root)?),
            Layout::Msmt17 => (layout, msmt17::open(root)?),
            Layout::Mars => (layout, mars::open(root)?),
            Layout::Viper => (layout, viper::open(root, options.split.unwrap_or(1))?),
            _ => box_folders::open(root, layout, options.layout.is_some())?,
        };
        if [&found.train, &found.query, &found.gallery].iter().all(|part| part.is_empty()) {
            return Err(wrong_tree::error(root, Some(layout)));
        }
        let Found { train, query, gallery, labels, tracklets, mut notes, .. } = found;
        notes.extend(overlap::note(root, [&train, &query, &gallery], &labels));
        let (name, root) = (layout.name().into(), root.to_path_buf());
        let mut dataset = Dataset { name, root, train, query, gallery, labels, tracklets, notes };
        dataset.notes.extend(official::note(&dataset.root, dataset.counts(), layout));
        Ok(dataset)
    }

    /// Numbers of training, query and gallery images, or tracklets.
    pub fn counts(&self) -> [usize; 3] {
        match &self.tracklets {
            Some(tracklets) => [tracklets.train, tracklets.query.len(), tracklets.gallery.len()],
            None => [self.train.len(), self.query.len(), self.gallery.len()],
        }
    }

    /// The images of a part, and their tracklets if it has them.
    pub fn part(&self, part: Part) -> (&[Sample], Option<&[Range<usize>]>) {
        let tracklets = self.tracklets.as_ref();
        match part {
            Part::Train => (&self.train, None),
            Part::Query => (&self.query, tracklets.map(|tracklets| &*tracklets.query)),
            Part::Gallery => (&self.gallery, tracklets.map(|tracklets| &*tracklets.gallery)),
        }
    }

    /// Checks that the data set has the images of a part.
    ///
    /// # Errors
    /// [`Error::Data`] that names the missing folder or list.
    pub fn require_part(&self, part: Part) -> Result<()> {
        self.require(self.part(part).0, part as usize)
    }

    /// Checks that the data set has training images.
    ///
    /// # Errors
    /// [`Error::Data`] that names the missing folder or list.
    pub fn require_train(&self) -> Result<()> {
        self.require_part(Part::Train)
    }

    /// Checks that the data set has query and gallery images.
    ///
    /// # Errors
    /// [`Error::Data`] that names the missing folder or list.
    pub fn require_test(&self) -> Result<()> {
        self.require_part(Part::Query)?;
        self.require_part(Part::Gallery)
    }

    /// The boxes of each query's person from the query's camera, for multi-query evaluation: `gt_bbox`, or
    /// `gt_bbox.csv` beside the other lists.
    ///
    /// # Errors
    /// If the folder or list is missing; as [`Dataset::open`].
    pub fn boxes(&self) -> Result<Vec<Sample>> {
        match self.layout() {
            Some(Layout::List) => {
                let name = format!("{}.csv", market1501::BOXES);
                let file = self.root.join(&name);
                if !file.is_file() {
                    return Err(self.no_boxes(&name));
                }
                let fault = |why| Error::Data(format!("{}: {why}; write both alike", file.display()));
                Numbering::with(&self.labels).samples(list::read(&file)?).map_err(fault)
            }
            Some(layout) => {
                let folder = layout.folder_of_parts(&self.root).join(market1501::BOXES);
                if !folder.is_dir() {
                    return Err(self.no_boxes(market1501::BOXES));
                }
                box_folders::boxes(&folder, layout)
            }
            None => Err(self.no_boxes(market1501::BOXES)),
        }
    }

    fn layout(&self) -> Option<Layout> {
        self.name.parse().ok()
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
            let layout = self.layout().unwrap_or(Layout::Market1501);
            let (missing, what) = (layout.parts()[which], ["training", "query", "gallery"][which]);
            if layout == Layout::Viper {
                return Err(Error::Data(format!(
                    "{}: this split has no {what} images; choose another split, or change its list ({})",
                    self.root.display(),
                    viper::LISTS.join(" or ")
                )));
            }
            return Err(Error::Data(format!(
                "{}: no {missing} in this data set, so no {what} images; add it or give another data set",
                self.root.display()
            )));
        }
        Ok(())
    }
}

/// The images of the lists in a folder.
fn list_parts(root: &Path) -> Result<Found> {
    let mut notes = Vec::new();
    let mut part = |which: usize| -> Result<Vec<Labelled>> {
        let file = root.join(list::LISTS[which]);
        if !file.is_file() {
            return Ok(Vec::new());
        }
        let (images, note) = overlap::once(&file, list::read(&file)?)?;
        notes.extend(note);
        Ok(images)
    };
    let parts = [part(0)?, part(1)?, part(2)?];
    let (mut found, of_names) = Numbering::found(root, parts)?;
    notes.extend(of_names);
    notes.extend(overlap::outside(root, [&found.train, &found.query, &found.gallery]));
    found.notes = notes;
    Ok(found)
}
