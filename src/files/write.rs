//! Atomic writing of files.
//!
//! A killed process or a full disk in the middle of a checkpoint must not destroy the previous checkpoint. Therefore
//! the bytes are written to a temporary file in the same folder (a rename works only inside one file system), synced
//! to the disk, and moved over the old file by one rename.

use super::Temporary;
use super::links::refuse_link;
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The prefix of a temporary file's name. The leading dot hides the file, and the program's name allows the removal of
/// files left by killed processes without touching files of other programs.
const PREFIX: &str = ".bcreid-";
/// The suffix of a temporary file's name.
const SUFFIX: &str = ".tmp";
/// Number of random letters and digits in a temporary file's name.
const RANDOM: usize = 12;
/// Size of the write buffer in bytes.
const BUFFER: usize = 1 << 20;

/// Writes the file `path` atomically: `fill` writes the new content to a buffered writer. After an error an old file
/// is unchanged, and the temporary file is removed. A file that is not regular (`/dev/null`, a pipe) is written
/// directly. A symbolic link is refused: [`follow`](super::follow) the links of a user first.
///
/// # Errors
/// [`Error::Io`] with `path` if the folder is missing, `path` is a folder or a symbolic link, `fill` fails or the disk
/// is full.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let write = || -> io::Result<()> {
        refuse_link(path)?;
        match fs::metadata(path) {
            Ok(meta) if !meta.is_file() => {
                // Kept until the end: the second opening would wait for a reader if the first went away.
                let _reader = require_reader(path)?;
                let mut writer = BufWriter::new(File::options().write(true).open(path)?);
                fill(&mut writer)?;
                writer.flush()
            }
            _ => replace(path, fill),
        }
    };
    write().map_err(Error::io(path))
}

/// Opens a pipe or a device without waiting.
///
/// # Errors
/// A pipe that nothing reads: in a folder from elsewhere it would stop the program for ever.
fn require_reader(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path).map_err(|e| match e.raw_os_error() {
        #[cfg(unix)]
        Some(libc::ENXIO) => {
            io::Error::new(e.kind(), "a pipe that nothing reads; remove it, or start its reader first")
        }
        _ => e,
    })
}

/// Writes a value as indented JSON, atomically.
///
/// # Errors
/// As [`write_atomically`].
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let mut json = serde_json::to_string_pretty(value).map_err(|e| Error::io(path)(e.into()))?;
    json.push('\n');
    write_atomically(path, |writer| writer.write_all(json.as_bytes()))
}

fn replace(target: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A temporary file is private by default; the permissions of a result follow the umask.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    // Dropping the temporary file without `persist` removes it. The error is reduced to its kind, because its message
    // names the temporary file instead of the target.
    let created = Temporary::create(|| builder.tempfile_in(&folder));
    let (mut temporary, registered) = created.map_err(|e| io::Error::from(e.kind()))?;
    let mut writer = BufWriter::with_capacity(BUFFER, temporary.as_file_mut());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    temporary.as_file().sync_all()?;
    temporary.persist(target).map_err(|e| e.error)?;
    drop(registered);
    sync_folder(&folder);
    Ok(())
}

/// Syncs the entries of a folder to the disk, so that a file that was made, moved or removed is so after a power cut
/// too. Errors are ignored: some network file systems cannot sync a folder.
pub fn sync_folder(path: &Path) {
    #[cfg(unix)]
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

/// Removes the temporary files that killed processes left in a folder, by the exact pattern of their names and not in
/// sub-folders. Only the holder of the folder's lock may call this function, because a concurrent writer would lose
/// its file.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let path = entry.path();
        let is_ours = entry.file_name().to_str().is_some_and(is_temporary_name)
            && entry.file_type().map_err(Error::io(&path))?.is_file();
        if is_ours {
            fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    Ok(())
}

/// Whether a name has the pattern of this program's temporary files.
pub fn is_temporary_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|r| r.len() == RANDOM && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_without_a_reader_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = write_atomically(&pipe, |w| w.write_all(b"x")).unwrap_err().to_string();
        assert!(error.contains("a pipe that nothing reads"), "{error}");
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        while write_atomically(&pipe, |w| w.write_all(b"x")).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(reader.join().unwrap(), "x");
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let full = write_atomically(&path, |w| {
            w.write_all(&vec![7; 3 * BUFFER])?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(full.unwrap_err().to_string().starts_with(&*path.to_string_lossy()));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a"]);
        write_atomically(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a"]);
    }

    /// The temporary file that is present while `fill` runs stands for one left by a killed process.
    #[test]
    fn leftovers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let mut left = Vec::new();
        write_atomically(&folder.join("weights"), |_| {
            left = names(folder);
            Ok(())
        })
        .unwrap();
        assert_eq!(left.len(), 1);
        let others = [
            ".abcdef.tmp",
            ".bcreid-0123456789a.tmp",
            ".bcreid-0123456789abc.tmp",
            ".bcreid-0123456789a_.tmp",
            ".bcreid-0123456789ab.tmp.bak",
            "bcreid-0123456789ab.tmp",
            "weights",
        ];
        others.iter().for_each(|name| fs::write(folder.join(name), b"keep").unwrap());
        fs::create_dir(folder.join(".bcreid-foldersfolde.tmp")).unwrap();
        let before = names(folder);
        fs::write(folder.join(&left[0]), b"half").unwrap();
        fs::write(folder.join(".bcreid-0123456789aB.tmp"), b"half").unwrap();
        remove_leftovers(folder).unwrap();
        assert_eq!(names(folder), before);
        remove_leftovers(folder).unwrap();
        assert!(remove_leftovers(&folder.join("absent")).unwrap_err().to_string().contains("absent"));
    }

    #[test]
    fn a_folder_or_a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_atomically(folder.path(), |w| w.write_all(b"x")).is_err());
        assert!(write_atomically(&folder.path().join("no/such"), |w| w.write_all(b"x")).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_refused_and_a_device_stays_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, b"old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let error = write_atomically(&link, |w| w.write_all(b"new")).unwrap_err().to_string();
        assert!(error.contains("link: a symbolic link"), "{error}");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"old");
        write_atomically(&crate::files::follow(&link).unwrap(), |w| w.write_all(b"new")).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
        write_atomically(Path::new("/dev/null"), |w| w.write_all(b"gone")).unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
