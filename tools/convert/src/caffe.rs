//! Caffe.
use crate::{Result, source::Source};
use std::path::Path;
/// Opens.
///
/// # Errors
/// Any.
pub fn open(_path: &Path) -> Result<Source> {
    unreachable!("being written")
}
