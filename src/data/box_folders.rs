//! Data sets of three folders of boxes, whose file names hold identity and camera: Market-1501, DukeMTMC-reID,
//! Occluded-DukeMTMC, CUHK03-NP, VeRi-776. The images may lie in sub-folders, for example one for each identity.

use super::folder::{self, base_name};
use super::found::Found;
use super::layout::Layout;
use super::list::LISTS;
use super::name::Name;
use super::{Sample, dukemtmc, market1501};
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A naming scheme of image files.
#[derive(Clone, Copy, PartialEq)]
enum NamingScheme {
    Market,
    Duke,
}

impl NamingScheme {
    /// The scheme of a layout's file names.
    fn of_layout(layout: Layout) -> Self {
        if layout == Layout::Market1501 { NamingScheme::Market } else { NamingScheme::Duke }
    }

    fn of(base: &str) -> Option<(Self, Name)> {
        let market = market1501::parse(base).map(|name| (NamingScheme::Market, name));
        market.or_else(|| dukemtmc::parse(base).map(|name| (NamingScheme::Duke, name)))
    }

    fn layout(self) -> Layout {
        match self {
            NamingScheme::Market => Layout::Market1501,
            NamingScheme::Duke => Layout::DukeMtmc,
        }
    }

    fn example(self) -> &'static str {
        match self {
            NamingScheme::Market => market1501::EXAMPLE,
            NamingScheme::Duke => dukemtmc::EXAMPLE,
        }
    }
}

/// The naming scheme that the images of a data set share.
#[derive(Clone, Copy)]
struct Shared {
    scheme: Option<NamingScheme>,
    /// The layout that was chosen, for errors.
    chosen: Option<Layout>,
}

/// Opens a data set and returns its layout too: unless it was chosen, the first file name decides between Market-1501 and
/// DukeMTMC-reID.
pub(super) fn open(root: &Path, layout: Layout, is_chosen: bool) -> Result<(Layout, Found)> {
    let mut shared = match is_chosen || layout != Layout::Market1501 {
        true => Shared { scheme: Some(NamingScheme::of_layout(layout)), chosen: Some(layout) },
        false => Shared { scheme: None, chosen: None },
    };
    let mut notes = Vec::new();
    let folders = layout.folder_of_parts(root);
    let mut part = |which: usize| -> Result<Vec<Sample>> {
        let folder = folders.join(layout.parts()[which]);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let listing = folder::list(&folder, true)?;
        notes.extend(listing.note(&folder));
        listing.require_image(&folder)?;
        let samples = listing.images.into_iter().map(|path| sample(path, &mut shared));
        let samples = samples.collect::<Result<Vec<_>>>()?;
        if which == 0 {
            refuse_distractors_and_junk(&samples, layout)?;
        }
        Ok(samples)
    };
    let (train, query, gallery) = (part(0)?, part(1)?, part(2)?);
    let layout = match shared.chosen {
        None if shared.scheme == Some(NamingScheme::Duke) => Layout::with_names_of_duke(root),
        _ => layout,
    };
    Ok((layout, Found { train, query, gallery, notes, ..Found::default() }))
}

/// The images of a folder of boxes for multi-query.
pub(super) fn boxes(folder: &Path, layout: Layout) -> Result<Vec<Sample>> {
    let mut shared = Shared { scheme: Some(NamingScheme::of_layout(layout)), chosen: Some(layout) };
    folder::list(folder, true)?.images.into_iter().map(|path| sample(path, &mut shared)).collect()
}

/// The image with the identity and camera of its file name.
fn sample(path: PathBuf, shared: &mut Shared) -> Result<Sample> {
    let Some((own, name)) = NamingScheme::of(base_name(&path)?) else {
        let examples = match shared.chosen {
            Some(layout) => NamingScheme::of_layout(layout).example().to_string(),
            None => format!("{} or {}", market1501::EXAMPLE, dukemtmc::EXAMPLE),
        };
        return Err(Error::image(
            &path,
            format!(
                "the file name gives no identity and camera; name it like {examples}, or list the images in {}",
                LISTS.join(", ")
            ),
        ));
    };
    let first = *shared.scheme.get_or_insert(own);
    if own != first {
        return Err(Error::image(
            &path,
            match shared.chosen {
                Some(layout) => format!(
                    "the layout {layout} has names like {}, and this one is in the style of {}; choose its layout, or \
                     let the names decide",
                    first.example(),
                    own.layout()
                ),
                None => format!(
                    "named in the style of {}, and earlier images in that of {}; put each data set in its own folder",
                    own.layout(),
                    first.layout()
                ),
            },
        ));
    }
    Ok(Sample { path, pid: name.pid, camid: Some(name.camid) })
}

/// Refuses distractors and junk in the training part: they show no identity, so they have no class.
fn refuse_distractors_and_junk(train: &[Sample], layout: Layout) -> Result<()> {
    match train.iter().find(|s| s.pid <= 0) {
        None => Ok(()),
        Some(Sample { path, pid, .. }) => Err(Error::image(
            path,
            format!(
                "pid {pid} is {}, which cannot be trained on; move the image to {}",
                if *pid == 0 { "a distractor" } else { "junk" },
                layout.parts()[2]
            ),
        )),
    }
}
