//! The package folders of Python installations, in which wheels put CUDA's libraries.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The package folders of a Python installation at `prefix`.
pub(super) fn sites_of(prefix: &Path) -> Vec<PathBuf> {
    if cfg!(windows) {
        return vec![prefix.join("Lib/site-packages")];
    }
    let both = |python: PathBuf| [python.join("site-packages"), python.join("dist-packages")];
    versions(&prefix.join("lib"), "python3").flat_map(both).filter(|site| site.is_dir()).collect()
}

/// The entries of `folder` whose names begin with `prefix`, sorted.
pub(super) fn versions(folder: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of_prefix = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(prefix);
    let mut found: Vec<PathBuf> = entries.filter(of_prefix).map(|entry| entry.path()).collect();
    found.sort();
    found.into_iter()
}

/// The prefix of the first `python3` on `path`, the variable `PATH`: that of a virtual environment is the
/// environment's. Relative entries are passed over.
pub(super) fn prefix_on_path(path: &OsStr) -> Option<PathBuf> {
    let folder = env::split_paths(path).find(|bin| bin.is_absolute() && bin.join("python3").exists())?;
    folder.parent().map(Path::to_path_buf)
}
