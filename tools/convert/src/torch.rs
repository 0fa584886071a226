//! PyTorch.
use crate::{Result, source::Source};
use std::path::Path;
/// Whether.
pub fn recognise(_head: &[u8]) -> bool {
    unreachable!("being written")
}
/// Opens.
///
/// # Errors
/// Any.
pub fn open(_path: &Path) -> Result<Source> {
    unreachable!("being written")
}
