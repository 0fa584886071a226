//! Symbolic links. A path that the user gave is followed. A name that the program chose is not: in a folder from
//! elsewhere it may be a link to any file of the user.
//!
//! Reading follows links, because download caches build whole run folders from them.

use crate::{Error, Result};
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The target of a link that the user gave as an output; other paths are returned unchanged.
///
/// # Errors
/// [`Error::Io`] if the target does not exist.
pub fn follow(path: &Path) -> Result<PathBuf> {
    if !path.is_symlink() {
        return Ok(path.to_path_buf());
    }
    fs::canonicalize(path).map_err(|e| {
        let what = format!("a symbolic link whose target cannot be written ({e}); give the target itself");
        Error::io(path)(io::Error::new(e.kind(), what))
    })
}

/// The path of `inner`, a relative path that the program chose, in the folder `root` of the user.
///
/// # Errors
/// [`Error::Io`] if a component below `root` is a symbolic link, or is none (`..`, `/`).
pub fn inside(root: &Path, inner: impl AsRef<Path>) -> Result<PathBuf> {
    let mut path = root.to_path_buf();
    for part in inner.as_ref().components() {
        path.push(part);
        let checked = match part {
            Component::Normal(_) => refuse_link(&path),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "leaves its folder")),
        };
        checked.map_err(Error::io(&path))?;
    }
    Ok(path)
}

/// Creates the folder `inner`, a relative path that the program chose, in the folder `root` of the user.
///
/// # Errors
/// As [`inside`]; [`Error::Io`] of the file system.
pub fn make_inside(root: &Path, inner: impl AsRef<Path>) -> Result<PathBuf> {
    let path = inside(root, inner)?;
    fs::create_dir_all(&path).map_err(Error::io(&path))?;
    Ok(path)
}

/// Opens a file whose name the program chose, to read it and to append to it; a missing file is created. The content
/// of an existing one stays.
///
/// # Errors
/// [`Error::Io`] if the path is a symbolic link, a folder, a pipe or a device; of the file system.
pub fn open_to_append(path: &Path) -> Result<File> {
    let open = || {
        refuse_link(path)?;
        match fs::symlink_metadata(path) {
            Ok(meta) if !meta.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file; move it away"));
            }
            Ok(meta) if has_second_name(&meta) => {
                let what =
                    "has a second name (a hard link), and is changed in place; put a copy in its place";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            _ => {}
        }
        let mut options = File::options();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // A link that appears after the check is an error too.
            options.custom_flags(libc::O_NOFOLLOW);
        }
        options.open(path)
    };
    open().map_err(Error::io(path))
}

/// Whether a file has a second name, a hard link: a change in place would change a file elsewhere too.
pub fn has_second_name(meta: &fs::Metadata) -> bool {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(meta) > 1;
    #[cfg(not(unix))]
    return {
        let _ = meta;
        false
    };
}

/// An error if the last component of the path is a symbolic link.
pub(super) fn refuse_link(path: &Path) -> io::Result<()> {
    if !path.is_symlink() {
        return Ok(());
    }
    let what = "a symbolic link, through which nothing is written, because its target may belong to something else; \
                remove the link, or choose a folder without it";
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    #[test]
    fn own_names_are_not_followed_and_given_ones_are() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "dear").unwrap();
        fs::create_dir_all(at("elsewhere/inner")).unwrap();
        symlink(at("victim"), at("file")).unwrap();
        symlink(at("elsewhere"), at("folder")).unwrap();
        symlink(at("absent"), at("dangling")).unwrap();

        for refused in [
            open_to_append(&at("file")).map(|_| PathBuf::new()),
            open_to_append(&at("dangling")).map(|_| PathBuf::new()),
            make_inside(folder.path(), "folder"),
            make_inside(folder.path(), "folder/inner"),
            make_inside(folder.path(), "folder/new"),
            follow(&at("dangling")),
        ] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("a symbolic link"), "{error}");
        }
        assert!(!at("absent").exists() && !at("elsewhere/new").exists());
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "dear");

        assert_eq!(follow(&at("file")).unwrap(), fs::canonicalize(at("victim")).unwrap());
        assert_eq!(follow(&at("victim")).unwrap(), at("victim"));
        // The user's own link to the folder above.
        assert!(make_inside(&at("folder"), "a/b").unwrap().is_dir());
        assert!(at("elsewhere/a/b").is_dir());
    }

    #[test]
    fn a_file_with_a_second_name_is_not_changed_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, own) = (folder.path().join("victim"), folder.path().join("own"));
        fs::write(&victim, "dear").unwrap();
        fs::hard_link(&victim, &own).unwrap();
        let error = open_to_append(&own).unwrap_err().to_string();
        assert!(error.contains("own: has a second name"), "{error}");
    }

    #[test]
    fn appending_keeps_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for word in ["one ", "two"] {
            open_to_append(&path).unwrap().write_all(word.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one two");
        let error = open_to_append(folder.path()).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}
