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
/// Mean.
///
/// # Errors
/// Any.
pub fn mean(_path: &Path) -> Result<[f32; 3]> {
    unreachable!("being written")
}
