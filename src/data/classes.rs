//! Class numbers of identities.

use super::{Labels, Sample};
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result};

/// Number of characters of a name that an error shows.
const SHOWN: usize = 40;

/// The identities of a training set in ascending order; an identity's index is its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    pids: Vec<i64>,
}

impl Classes {
    /// The identities of `train`.
    ///
    /// # Errors
    /// A junk image (pid -1) in the set, or fewer than two identities.
    pub fn new(train: &[Sample]) -> Result<Self> {
        Self::named(train, &Labels::default())
    }

    /// As [`Classes::new`]; `labels` names the identities in errors.
    ///
    /// # Errors
    /// As [`Classes::new`].
    pub fn named(train: &[Sample], labels: &Labels) -> Result<Self> {
        if let Some(junk) = train.iter().find(|s| s.pid < 0) {
            return Err(Error::Data(format!(
                "{}: pid {} marks junk, which cannot be trained on; remove the image from the training set",
                junk.path.display(),
                junk.pid
            )));
        }
        let mut pids: Vec<i64> = train.iter().map(|s| s.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        match pids[..] {
            [] => Err(Error::Data(
                "the training set holds no image; add images of at least two identities".into(),
            )),
            [only] => Err(Error::Data(format!(
                "the training set ({}) holds identity {} only; add images of at least one other identity",
                counted(train.len(), "image"),
                excerpt(&labels.pid(only), SHOWN)
            ))),
            _ => Ok(Classes { pids }),
        }
    }

    /// Number of classes: the width of the classifier.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.pids.len()
    }

    /// The class of an identity; `None` if it is not in the training set.
    pub fn index(&self, pid: i64) -> Option<usize> {
        self.pids.binary_search(&pid).ok()
    }

    /// The identity of each class.
    pub fn pids(&self) -> &[i64] {
        &self.pids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(pids: &[i64]) -> Vec<Sample> {
        pids.iter().map(|&pid| Sample { path: format!("{pid}.jpg").into(), pid, camid: None }).collect()
    }

    #[test]
    fn classes_follow_the_sorted_identities() {
        let classes = Classes::new(&samples(&[1501, 7, 7, 2, 1501])).unwrap();
        assert_eq!(classes.pids(), [2, 7, 1501]);
        assert_eq!((classes.index(7), classes.index(1501), classes.index(3)), (Some(1), Some(2), None));
    }

    #[test]
    fn empty_sets_single_identities_and_junk_are_refused() {
        for (pids, word) in [(&[][..], "no image"), (&[5, 5], "identity 5"), (&[1, -1, 2], "junk")] {
            let error = Classes::new(&samples(pids)).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_only_identity_is_told_by_its_name() {
        let labels = Labels { pids: [(1, "ann".to_string())].into(), ..Labels::default() };
        let error = Classes::named(&samples(&[1, 1]), &labels).unwrap_err().to_string();
        assert!(error.contains("(2 images) holds identity ann only"), "{error}");
    }
}
