//! An image of a data set.

use std::path::PathBuf;

/// One image and who is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The file.
    pub path: PathBuf,
    /// The person. -1 is junk, which evaluation ignores; 0 is a distractor in folders named like
    /// Market-1501, and an identity like any other in a list.
    pub pid: i64,
    /// The camera, as the file name or the list counts it; `None` if a list has none.
    pub camid: Option<i64>,
}
