//! An image of a data set.

use std::path::PathBuf;

/// An image file with its identity and camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// The identity. -1 is junk, which evaluation ignores; 0 is a distractor in folders named like
    /// Market-1501, and an identity like any other in a list. The loader of training batches takes
    /// [`Sample::UNLABELLED`] as an image without an identity.
    pub pid: i64,
    /// The camera's number in the file name or the list; `None` if a list has no cameras.
    pub camid: Option<i64>,
}

impl Sample {
    /// The identity of a training image without one, such as a generated image.
    pub const UNLABELLED: i64 = -1;
}
