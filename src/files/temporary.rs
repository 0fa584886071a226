//! Temporary files and folders of this process, so that a signal that ends it can remove them.
//!
//! A destructor does not run when a signal ends the process.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Attempts to remove a folder, and the time between two of them.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// The temporary files and folders that exist now.
static PRESENT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A temporary file or folder that [`remove_temporaries`] removes until this value is dropped.
#[derive(Debug)]
pub struct Temporary(PathBuf);

impl Temporary {
    /// Creates a temporary file, or a folder with everything that will be in it, and registers it. A signal comes
    /// before the creation or behind the registration, and never between them.
    ///
    /// # Errors
    /// Errors of `create`.
    pub fn create<T: AsRef<Path>>(create: impl FnOnce() -> io::Result<T>) -> io::Result<(T, Self)> {
        let mut present = PRESENT.lock().unwrap_or_else(PoisonError::into_inner);
        let created = create()?;
        // The working folder may change before the end.
        let path = created.as_ref();
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        present.push(path.clone());
        Ok((created, Temporary(path)))
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
        if !path.is_dir() {
            let _ = fs::remove_file(path);
            continue;
        }
        // Other threads may still write into a folder while it is emptied; without their folders they cannot.
        for _ in 0..ATTEMPTS {
            match fs::remove_dir_all(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
                _ => break,
            }
        }
    }
    std::mem::forget(present);
}
