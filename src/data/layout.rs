//! The layouts of data sets: their names, the folders and lists that each consists of, and the layout of a folder.
//!
//! `docs/data-sets.md` draws the trees.

use super::{dukemtmc, folder, list, market1501, mars, msmt17, veri776, viper};
use crate::{Error, Result};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A layout of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Market-1501, and data sets with its folders and file names.
    Market1501,
    /// DukeMTMC-reID: the folders of Market-1501 with other file names.
    DukeMtmc,
    /// Occluded-DukeMTMC: as DukeMTMC-reID.
    OccludedDuke,
    /// CUHK03-NP with detected boxes: the folders of Market-1501, below `detected` or alone.
    Cuhk03Detected,
    /// CUHK03-NP with hand-drawn boxes, below `labeled` or alone.
    Cuhk03Labeled,
    /// MSMT17, V1 or V2: two folders and four lists.
    Msmt17,
    /// VeRi-776: vehicles.
    Veri776,
    /// MARS: tracklets.
    Mars,
    /// VIPeR: two cameras, and a list of splits.
    Viper,
    /// A folder for each identity.
    Folders,
    /// Lists in CSV.
    List,
}

use Layout::*;

impl Layout {
    /// All layouts.
    pub const ALL: [Layout; 11] = [
        Market1501,
        DukeMtmc,
        OccludedDuke,
        Cuhk03Detected,
        Cuhk03Labeled,
        Msmt17,
        Veri776,
        Mars,
        Viper,
        Folders,
        List,
    ];

    /// The name by which the layout is chosen.
    pub fn name(self) -> &'static str {
        match self {
            Market1501 => "market1501",
            DukeMtmc => "dukemtmc",
            OccludedDuke => "occluded-dukemtmc",
            Cuhk03Detected => "cuhk03-np-detected",
            Cuhk03Labeled => "cuhk03-np-labeled",
            Msmt17 => "msmt17",
            Veri776 => "veri776",
            Mars => "mars",
            Viper => "viper",
            Folders => "folders",
            List => "list",
        }
    }

    /// The folders or lists of the training, query and gallery images, for messages.
    pub fn parts(self) -> [&'static str; 3] {
        match self {
            Market1501 | DukeMtmc | OccludedDuke | Cuhk03Detected | Cuhk03Labeled => market1501::FOLDERS,
            Msmt17 => msmt17::PARTS,
            Veri776 => veri776::FOLDERS,
            Mars => mars::PARTS,
            Viper => viper::PARTS,
            Folders => ["train", "query", "gallery"],
            List => list::LISTS,
        }
    }

    /// The tree of the layout in words, for messages.
    pub fn tree(self) -> String {
        let folders = |[train, query, gallery]: [&str; 3]| format!("{train}/, {query}/ and {gallery}/");
        match self {
            Market1501 | DukeMtmc | OccludedDuke => folders(market1501::FOLDERS),
            Cuhk03Detected | Cuhk03Labeled => {
                format!("{} (or {}/ with these)", folders(market1501::FOLDERS), self.box_folder())
            }
            Msmt17 => msmt17::TREE.into(),
            Veri776 => folders(veri776::FOLDERS),
            Mars => mars::TREE.into(),
            Viper => viper::TREE.into(),
            Folders => format!("{} with a folder for each identity", folders(self.parts())),
            List => list::LISTS.join(", "),
        }
    }

    /// The folder of the boxes in CUHK03-NP; empty for others.
    fn box_folder(self) -> &'static str {
        match self {
            Cuhk03Detected => "detected",
            Cuhk03Labeled => "labeled",
            _ => "",
        }
    }

    /// The folder that holds the three folders of images: for CUHK03-NP one below `root`, if it is there.
    pub(super) fn folder_of_parts(self, root: &Path) -> PathBuf {
        let below = root.join(self.box_folder());
        if below.is_dir() { below } else { root.to_path_buf() }
    }

    /// Numbers of training images, query images and gallery images (with distractors and junk) of the published data set;
    /// for MARS tracklets. `None` for layouts without one.
    pub fn official(self) -> Option<[usize; 3]> {
        match self {
            Market1501 => Some(market1501::IMAGES),
            DukeMtmc => Some(dukemtmc::IMAGES),
            // Miao et al. 2019.
            OccludedDuke => Some([15_618, 2_210, 17_661]),
            // Zhong et al. 2017.
            Cuhk03Detected => Some([7_365, 1_400, 5_332]),
            Cuhk03Labeled => Some([7_368, 1_400, 5_328]),
            // Wei et al. 2018; training images with those of validation.
            Msmt17 => Some([32_621, 11_659, 82_161]),
            // Liu et al. 2016.
            Veri776 => Some([37_778, 1_678, 11_579]),
            // Zheng et al. 2016: 12,180 test tracklets, of which 1,980 are queries.
            Mars => Some([8_298, 1_980, 10_200]),
            // Gray et al. 2007: half of the 632 persons, at both cameras.
            Viper => Some([632, 316, 316]),
            Folders | List => None,
        }
    }

    /// The layout of a folder; `None` if it has none of them. Data sets with the folders of Market-1501 are told apart by
    /// their file names.
    ///
    /// # Errors
    /// CUHK03-NP with both kinds of boxes, of which one must be chosen.
    pub fn detect(root: &Path) -> Result<Option<Self>> {
        let has = |folder: &str| root.join(folder).is_dir();
        let any_file = |files: &[&str]| files.iter().any(|file| root.join(file).is_file());
        let [train, query, gallery] = market1501::FOLDERS;
        let found = if has(train) || has(gallery) {
            Market1501
        } else if any_file(&list::LISTS) {
            List
        } else if any_file(&msmt17::LISTS) {
            Msmt17
        } else if veri776::FOLDERS.iter().any(|folder| has(folder)) {
            Veri776
        } else if mars::FOLDERS.iter().any(|folder| has(folder)) {
            Mars
        } else if viper::FOLDERS.iter().all(|folder| has(folder)) {
            Viper
        } else if let Some(chosen) = of_cuhk03(root)? {
            chosen
        } else if has("train") || has("train_all") || has("gallery") {
            Folders
        } else if has(query) {
            if folder::holds_folders_alone(&root.join(query)) { Folders } else { Market1501 }
        } else {
            return Ok(None);
        };
        Ok(Some(found))
    }

    /// The data set with the folders of Market-1501 and the names of DukeMTMC-reID that is in `root`, by the name of that
    /// folder.
    pub(super) fn with_names_of_duke(root: &Path) -> Self {
        let whole = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        let name = whole.file_name().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "detected" => Cuhk03Detected,
            "labeled" => Cuhk03Labeled,
            name if name.contains("occluded") && name.contains("duke") => OccludedDuke,
            _ => DukeMtmc,
        }
    }

    /// The folders of the query and gallery images of the data set in `root`, whatever its layout: only those of a tree
    /// that is complete for evaluation. Empty if `root` is no such tree.
    pub fn test_folders(root: &Path) -> Vec<PathBuf> {
        let both = |base: &Path, [_, query, gallery]: [&str; 3]| {
            let parts = [base.join(query), base.join(gallery)];
            if parts.iter().all(|part| part.is_dir()) { parts.to_vec() } else { Vec::new() }
        };
        let mut found = Vec::new();
        for layout in [Market1501, Cuhk03Detected, Cuhk03Labeled] {
            found.extend(both(&root.join(layout.box_folder()), market1501::FOLDERS));
        }
        found.extend(both(root, veri776::FOLDERS));
        found.extend(both(root, Folders.parts()));
        if viper::is_tree(root) {
            found.extend(both(root, ["", viper::FOLDERS[0], viper::FOLDERS[1]]));
        }
        found.extend(msmt17::test_folder(root));
        found.extend(mars::test_folder(root));
        if list::LISTS[1..].iter().all(|file| root.join(file).is_file()) {
            found.push(root.to_path_buf());
        }
        found
    }
}

/// The layout of a folder of CUHK03-NP.
fn of_cuhk03(root: &Path) -> Result<Option<Layout>> {
    let is_there = |layout: &Layout| {
        let below = root.join(layout.box_folder());
        market1501::FOLDERS.iter().any(|folder| below.join(folder).is_dir())
    };
    match [Cuhk03Detected, Cuhk03Labeled].iter().copied().filter(is_there).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => Err(Error::Data(format!(
            "{}: CUHK03-NP with detected and with hand-drawn boxes, which are two data sets; give one of the folders \
             detected and labeled, or the layout {} or {}",
            root.display(),
            Cuhk03Detected.name(),
            Cuhk03Labeled.name()
        ))),
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Layout {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        Layout::ALL.into_iter().find(|layout| layout.name() == text).ok_or_else(|| {
            format!("{text:?} is no layout; choose one of {}", Layout::ALL.map(Layout::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_found_by_its_name() {
        for layout in Layout::ALL {
            assert_eq!(layout.name().parse(), Ok(layout));
            assert!(layout.parts().iter().all(|part| !part.is_empty()) && !layout.tree().is_empty());
        }
        assert!("market".parse::<Layout>().unwrap_err().contains("market1501, dukemtmc"));
    }
}
