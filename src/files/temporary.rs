//! Temporary files and folders of this process, so that a signal that ends it can remove them.
//!
//! A destructor does not run when a signal ends the process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The temporary files and folders that exist now.
static PRESENT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary file or folder that [`remove_temporaries`] removes until this value is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Registers a file or a folder with everything in it.
    pub fn register(path: &Path) -> Self {
        // The working folder may change before the end.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        PRESENT.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        PRESENT.lock().unwrap_or_else(PoisonError::into_inner).retain(|path| *path != self.0);
    }
}

/// Removes all registered files and folders, before the process is ended. A file that cannot be removed stays.
pub fn remove_temporaries() {
    // The lock is kept: a file that another thread begins now must wait for the end.
    let present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
    for path in present.iter() {
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
    std::mem::forget(present);
}
