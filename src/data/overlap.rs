//! Images and identities that occur where they should not: twice in a list, or in training and in test.

use super::decode::MAX_FILE;
use super::labelled::Labelled;
use super::{Labels, Sample};
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// Leaves out the repeated images of a list; returns the others in their order, and a note about the repeated ones.
///
/// # Errors
/// [`Error::Data`] about an image with two identities.
pub(super) fn once(list: &Path, images: Vec<Labelled>) -> Result<(Vec<Labelled>, Option<String>)> {
    let mut seen: HashMap<PathBuf, String> = HashMap::new();
    let (mut kept, mut repeated) = (Vec::with_capacity(images.len()), 0);
    for image in images {
        match seen.insert(image.path.clone(), image.pid.clone()) {
            None => kept.push(image),
            Some(pid) if is_one(&pid, &image.pid) => repeated += 1,
            Some(pid) => {
                return Err(Error::Data(format!(
                    "{}: the image {} has two identities, {} and {}; keep the line of its person",
                    list.display(),
                    image.path.display(),
                    shown(&pid),
                    shown(&image.pid)
                )));
            }
        }
    }
    let note = (repeated > 0).then(|| {
        let images = counted(repeated, "repeated line");
        format!("{}: left out {images}: an image counts once", list.display())
    });
    Ok((kept, note))
}

/// Number of characters of a name that a message shows.
const SHOWN: usize = 40;

/// An identity in a message: a number without leading zeros, or the start of a name.
fn shown(pid: &str) -> String {
    pid.parse::<i64>().map_or_else(|_| excerpt(pid, SHOWN), |number| number.to_string())
}

/// Whether two texts are one identity: `7` and `0007` are one number.
fn is_one(a: &str, b: &str) -> bool {
    a == b || matches!((a.parse::<i64>(), b.parse::<i64>()), (Ok(a), Ok(b)) if a == b)
}

/// A note about listed images that are not below the lists' folder: a list from elsewhere may name any image.
pub(super) fn outside(root: &Path, parts: [&Vec<Sample>; 3]) -> Option<String> {
    // A list may name images by absolute paths, and the folder by a relative one.
    let whole = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
    let leaves = |sample: &&Sample| {
        let inner = sample.path.strip_prefix(root).or_else(|_| sample.path.strip_prefix(&whole));
        inner.map_or(true, |inner| inner.components().any(|part| part == Component::ParentDir))
    };
    let mut outside = parts.into_iter().flatten().filter(leaves);
    let first = outside.next()?;
    let count = 1 + outside.count();
    Some(format!(
        "{}: the lists name {} outside of this folder (the first: {})",
        root.display(),
        counted(count, "image"),
        first.path.display()
    ))
}

/// A warning about identities and images that are in the training part and in the test part of one data set: the figures
/// are then not of new persons. An image is the same if its path is; of persons who are in both parts also if its file has
/// the same bytes. Of all others no file is read, because that takes long and most data sets share no person.
pub(super) fn note(
    root: &Path,
    [train, query, gallery]: [&Vec<Sample>; 3],
    labels: &Labels,
) -> Option<String> {
    let trained: HashSet<i64> = train.iter().map(|sample| sample.pid).collect();
    let test = || query.iter().chain(gallery);
    // Distractors and junk are no persons.
    let persons: BTreeSet<i64> =
        test().map(|sample| sample.pid).filter(|&pid| pid > 0 && trained.contains(&pid)).collect();
    let files: HashSet<&Path> = train.iter().map(|sample| sample.path.as_path()).collect();
    let is_listed = |sample: &&Sample| files.contains(sample.path.as_path());
    let of_common = |sample: &&Sample| persons.contains(&sample.pid);
    let others = test().filter(|sample| of_common(sample) && !is_listed(sample));
    let images = test().filter(is_listed).count() + copies(train.iter().filter(of_common), others);
    if persons.is_empty() && images == 0 {
        return None;
    }
    let example = persons.first().map_or(String::new(), |&pid| format!(" (the first: {})", labels.pid(pid)));
    Some(format!(
        "warning: {}: {} of the test part{example} and {} are in the training part too, so the figures are not of new \
         persons; if equal numbers are other persons, number them anew",
        root.display(),
        match persons.len() {
            1 => "1 identity".to_string(),
            n => format!("{n} identities"),
        },
        counted(images, "image")
    ))
}

/// Images of one size in bytes, and the checksums of their files once one is asked for.
#[derive(Default)]
struct SameSize<'a> {
    files: Vec<&'a Path>,
    sums: Option<HashSet<[u8; 32]>>,
}

/// The number of images of `test` whose file has the same bytes as one of `train`. Only files of the same size are read;
/// a file that cannot be read is equal to none, and whoever decodes it tells the fault.
fn copies<'a>(train: impl Iterator<Item = &'a Sample>, test: impl Iterator<Item = &'a Sample>) -> usize {
    let size = |path: &Path| {
        let meta = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
        // A larger file is never decoded.
        meta.map(|meta| meta.len()).filter(|size| *size <= MAX_FILE)
    };
    let mut of_size: HashMap<u64, SameSize<'_>> = HashMap::new();
    for sample in train {
        if let Some(size) = size(&sample.path) {
            of_size.entry(size).or_default().files.push(&sample.path);
        }
    }
    let mut is_copy = |sample: &&Sample| {
        let Some(SameSize { files, sums }) = size(&sample.path).and_then(|size| of_size.get_mut(&size))
        else {
            return false;
        };
        let sums = sums.get_or_insert_with(|| files.iter().filter_map(|file| checksum(file)).collect());
        checksum(&sample.path).is_some_and(|sum| sums.contains(&sum))
    };
    test.filter(|sample| is_copy(sample)).count()
}

/// The SHA-256 of a file's bytes.
fn checksum(file: &Path) -> Option<[u8; 32]> {
    let (mut file, mut sha, mut part) = (File::open(file).ok()?, Sha256::new(), [0; 1 << 14]);
    loop {
        match file.read(&mut part).ok()? {
            0 => return Some(sha.finalize().into()),
            read => sha.update(&part[..read]),
        }
    }
}
