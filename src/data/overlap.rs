//! Images and identities that occur where they should not: twice in a list, or in training and in test.

use super::Sample;
use crate::console::counted;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Leaves out the repeated images of a list; returns the others in their order, and a note about the repeated ones.
///
/// # Errors
/// [`Error::Data`] about an image with two identities.
pub(super) fn once(list: &Path, samples: Vec<Sample>) -> Result<(Vec<Sample>, Option<String>)> {
    let mut seen: HashMap<PathBuf, i64> = HashMap::new();
    let (mut kept, mut repeated) = (Vec::with_capacity(samples.len()), 0);
    for sample in samples {
        match seen.insert(sample.path.clone(), sample.pid) {
            None => kept.push(sample),
            Some(pid) if pid == sample.pid => repeated += 1,
            Some(pid) => {
                return Err(Error::Data(format!(
                    "{}: the image {} has two identities, {pid} and {}; keep the line of its person",
                    list.display(),
                    sample.path.display(),
                    sample.pid
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

/// A warning about identities and images that are in the training part and in the test part of one data set: the figures
/// are then not of new persons.
pub(super) fn note(root: &Path, train: &[Sample], query: &[Sample], gallery: &[Sample]) -> Option<String> {
    let trained: HashSet<i64> = train.iter().map(|sample| sample.pid).collect();
    let test = || query.iter().chain(gallery);
    // Distractors and junk are no persons.
    let persons: BTreeSet<i64> =
        test().map(|sample| sample.pid).filter(|&pid| pid > 0 && trained.contains(&pid)).collect();
    let files: HashSet<&Path> = train.iter().map(|sample| sample.path.as_path()).collect();
    let images = test().filter(|sample| files.contains(sample.path.as_path())).count();
    if persons.is_empty() && images == 0 {
        return None;
    }
    let example = persons.first().map_or(String::new(), |pid| format!(" (the first: {pid})"));
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
