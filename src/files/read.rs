//! Bounded reading of untrusted files: the file type is checked before the file is opened, and the size is limited.

use crate::{Error, Result};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// The bytes of a mebibyte, the unit of size limits.
pub const MIB: u64 = 1 << 20;

/// Opens a regular file.
///
/// # Errors
/// [`Error::Io`] if the file is missing or unreadable, or is a folder, a pipe or a device.
pub fn open(path: &Path) -> Result<File> {
    let regular = |meta: Metadata| match meta.is_file() {
        true => Ok(()),
        false if meta.is_dir() => Err(io::Error::new(ErrorKind::IsADirectory, "a folder; a file is needed")),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "a pipe or a device; a regular file is needed")),
    };
    // The type is checked before the file is opened, because opening a pipe without a writer blocks.
    fs::metadata(path).and_then(regular).and_then(|()| File::open(path)).map_err(Error::io(path))
}

/// Reads a regular file of at most `most` bytes.
///
/// # Errors
/// [`Error::Io`] as of [`open`], or if the file is longer.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    whole(open(path)?, most).map_err(Error::io(path))
}

/// Reads a regular file of at most `most` bytes as text.
///
/// # Errors
/// As [`read`], or if the file is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    whole(open(path)?, most).and_then(text).map_err(Error::io(path))
}

/// Reads a file of the command line as text, at most `most` bytes. Pipes are allowed, because a shell passes one for
/// `<(...)`.
///
/// # Errors
/// As [`read_text`], but pipes and devices are read.
pub fn read_argument(path: &Path, most: u64) -> Result<String> {
    File::open(path).and_then(|file| whole(file, most)).and_then(text).map_err(Error::io(path))
}

fn whole(file: File, most: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let what = format!("larger than {} MiB, the limit for this kind of file; check the path", most / MIB);
        io::Error::new(ErrorKind::FileTooLarge, what)
    };
    // Pipes have the length 0.
    let length = file.metadata()?.len();
    if length > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize + 1)?;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(too_large());
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    let error = || io::Error::new(ErrorKind::InvalidData, "not text in UTF-8; save the file as UTF-8");
    String::from_utf8(bytes).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<T>(result: Result<T>) -> String {
        result.err().expect("an error").to_string()
    }

    #[test]
    fn a_file_is_read_up_to_its_bound_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        assert_eq!(read(&path, 2 * MIB).unwrap().len(), 2 << 20);
        assert_eq!(read_text(&path, 2 * MIB).unwrap().len(), 2 << 20);
        assert_eq!(read_argument(&path, 2 * MIB).unwrap().len(), 2 << 20);
        fs::write(&path, vec![b'x'; (2 << 20) + 1]).unwrap();
        for error in [
            words(read(&path, 2 * MIB)),
            words(read_text(&path, 2 * MIB)),
            words(read_argument(&path, 2 * MIB)),
        ] {
            let limit = "larger than 2 MiB, the limit for this kind of file; check the path";
            assert_eq!(error, format!("{}: {limit}", path.display()));
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(words(read_text(&path, MIB)).contains("not text in UTF-8"));
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_endless_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(words(read(folder.path(), MIB)).ends_with("a folder; a file is needed"));
        assert!(words(read_argument(folder.path(), MIB)).contains(&*folder.path().to_string_lossy()));
        assert!(
            words(open(Path::new("/dev/zero"))).ends_with("a pipe or a device; a regular file is needed")
        );
        assert!(words(read_argument(Path::new("/dev/zero"), MIB)).contains("larger than 1 MiB"));
        assert!(words(open(&folder.path().join("absent"))).contains("absent: No such file"));
    }
}
