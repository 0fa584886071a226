//! Folders inside a run: made and synced. In a stranger's run such a folder may be a link to any other.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

/// Creates a folder whose name this program chose, in a folder that exists. The folder may exist already, but not as a
/// link.
///
/// # Errors
/// [`Error::Run`] if the folder is a link or no folder; [`Error::Io`] of the file system.
pub fn make_own_folder(path: &Path) -> Result<()> {
    match fs::create_dir(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        made => return made.map_err(Error::io(path)),
    }
    let kind = fs::symlink_metadata(path).map_err(Error::io(path))?.file_type();
    match kind.is_dir() {
        true => Ok(()),
        false => Err(Error::Run(format!(
            "{}: {}, where a folder belongs; remove it: nothing is written through a link",
            path.display(),
            if kind.is_symlink() { "a symbolic link" } else { "not a folder" }
        ))),
    }
}

/// Syncs the entries of a folder to the disk: a file that was made, moved or removed is so after a power cut too. Best
/// effort, because some network file systems cannot sync a folder.
pub fn sync_folder(path: &Path) {
    if cfg!(unix)
        && let Ok(folder) = File::open(path)
    {
        let _ = folder.sync_all();
    }
}
