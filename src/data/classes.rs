//! Class numbers of identities.

use super::Sample;
use crate::console::counted;
use crate::{Error, Result};

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
                "the training set ({}) holds identity {only} only; add images of at least one other identity",
                counted(train.len(), "image")
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
}
