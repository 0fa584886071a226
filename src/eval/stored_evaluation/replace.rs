//! Replacement of all files of a folder at once: after a kill or a power cut at any point, the old files or the new
//! ones are there, never some of each.
//!
//! 1. The new files are written into `FOLDER/.draft`.
//! 2. `FOLDER/.draft` is renamed to `FOLDER/.new`. From here on the new files count.
//! 3. The files of `.new` are moved over the old ones one by one, and `.new` is removed.
//!
//! So the current version of a file is the one in `.new`, if it is there, and else the one in the folder. A reader
//! follows that rule and needs not write; the next writer completes step 3 first.

use crate::files::sync_folder;
use crate::{Error, Result};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Sub-folder in which the new files are written; what a killed process left in it does not count.
const DRAFT: &str = ".draft";
/// Sub-folder of complete new files that are not moved yet.
const NEW: &str = ".new";

/// The path of the current version of a file of `folder`.
pub fn current(folder: &Path, file: &str) -> PathBuf {
    let new = folder.join(NEW);
    let moved = !is_own_folder(&new) || !new.join(file).is_file();
    if moved { folder.join(file) } else { new.join(file) }
}

/// Replaces the files of `folder` by those that `write` writes into the folder it gets. After an error the old files
/// are unchanged. The caller holds a lock against readers and other writers.
///
/// # Errors
/// Errors of `write` and of the file system.
pub fn replace(folder: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    finish(folder)?;
    let (draft, new) = (folder.join(DRAFT), folder.join(NEW));
    remove(&draft)?;
    fs::create_dir(&draft).map_err(Error::io(&draft))?;
    let written = write(&draft).and_then(|()| {
        sync_folder(&draft);
        fs::rename(&draft, &new).map_err(Error::io(&new))
    });
    if written.is_err() {
        // Best effort: a leftover draft is harmless.
        let _ = remove(&draft);
        return written;
    }
    sync_folder(folder);
    finish(folder)
}

/// Moves complete new files over the old ones.
fn finish(folder: &Path) -> Result<()> {
    let new = folder.join(NEW);
    // A link may lead to files that are not of this run; it is removed.
    if is_own_folder(&new) {
        for entry in fs::read_dir(&new).map_err(Error::io(&new))? {
            let entry = entry.map_err(Error::io(&new))?;
            let target = folder.join(entry.file_name());
            fs::rename(entry.path(), &target).map_err(Error::io(&target))?;
        }
        sync_folder(folder);
    }
    remove(&new)
}

/// Whether a path is a folder, and no link to one.
fn is_own_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Removes a folder or a link, if it is there.
fn remove(folder: &Path) -> Result<()> {
    let absent = |e: &io::Error| e.kind() == ErrorKind::NotFound;
    match fs::remove_dir_all(folder) {
        Err(e) if !absent(&e) => Err(Error::io(folder)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 3] = ["a", "b", "c"];

    fn put(folder: &Path, content: &str) {
        fs::create_dir_all(folder).unwrap();
        FILES.iter().for_each(|file| fs::write(folder.join(file), content).unwrap());
    }

    fn read(folder: &Path) -> Vec<String> {
        FILES.iter().map(|file| fs::read_to_string(current(folder, file)).unwrap()).collect()
    }

    fn write(content: &'static str) -> impl FnOnce(&Path) -> Result<()> {
        move |draft| {
            put(draft, content);
            Ok(())
        }
    }

    /// The states that a kill between any two operations leaves: a reader finds all old or all new files, and so does
    /// a reader after the next writer, whose own write fails.
    #[test]
    fn a_kill_at_any_point_leaves_the_old_or_the_new_files() {
        for (moved, renamed) in [(0, false), (0, true), (1, true), (2, true), (3, true)] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("set");
            put(&folder, "old");
            put(&folder.join(DRAFT), "new");
            if renamed {
                fs::rename(folder.join(DRAFT), folder.join(NEW)).unwrap();
            }
            for file in &FILES[..moved] {
                fs::rename(folder.join(NEW).join(file), folder.join(file)).unwrap();
            }
            let expected = if renamed { ["new"; 3] } else { ["old"; 3] };
            assert_eq!(read(&folder), expected, "{moved}");
            let failed = replace(&folder, |draft| {
                fs::write(draft.join("a"), "half").unwrap();
                Err(Error::Data("a full disk".into()))
            });
            assert_eq!(failed.unwrap_err().to_string(), "a full disk");
            assert_eq!(read(&folder), expected, "{moved}");
            assert!(!folder.join(NEW).exists() && !folder.join(DRAFT).exists());
            replace(&folder, write("newer")).unwrap();
            assert_eq!(read(&folder), ["newer"; 3]);
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_moved_or_written_through_links() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let (folder, victim) = (root.path().join("set"), root.path().join("victim"));
        put(&victim, "dear");
        for name in [NEW, DRAFT] {
            put(&folder, "old");
            symlink(&victim, folder.join(name)).unwrap();
            assert_eq!(read(&folder), ["old"; 3], "{name}");
            replace(&folder, write("new")).unwrap();
            assert_eq!(read(&folder), ["new"; 3], "{name}");
            assert_eq!(read(&victim), ["dear"; 3], "{name}");
        }
        FILES.iter().for_each(|file| fs::remove_file(folder.join(file)).unwrap());
        FILES.iter().for_each(|file| symlink(victim.join(file), folder.join(file)).unwrap());
        replace(&folder, write("newer")).unwrap();
        assert_eq!((read(&folder), read(&victim)), (vec!["newer".into(); 3], vec!["dear".to_string(); 3]));
    }
}
