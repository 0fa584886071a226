//! Plain lists of data sets: one image a line. They come from elsewhere, so their length is bounded and their paths
//! must stay below their folder.

use super::list::{self, LARGEST, require_few, require_lines};
use crate::error::excerpt;
use crate::{Error, Result, files};
use std::path::{Component, Path, PathBuf};

/// The text of a list.
///
/// # Errors
/// A list that is missing, too large, not UTF-8, without lines, or with more than a million.
pub(super) fn read(file: &Path) -> Result<String> {
    let bytes = files::read(file, LARGEST)?;
    require_lines(file, &bytes)?;
    require_few(file, &bytes)?;
    String::from_utf8(bytes).map_err(|_| {
        Error::Data(format!("{}: not valid UTF-8; is this the data set's list?", file.display()))
    })
}

/// The lines of a text that are not empty, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines());
    numbered.map(|(number, line)| (number, line.trim())).filter(|(_, line)| !line.is_empty())
}

/// The image `name` below `folder`.
///
/// # Errors
/// A path that leads out of the folder, or to no file; in words, for [`error`].
pub(super) fn image(folder: &Path, name: &str) -> std::result::Result<PathBuf, String> {
    let below = |part: Component<'_>| matches!(part, Component::Normal(_));
    if name.is_empty() || !Path::new(name).components().all(below) {
        return Err(format!("{} is no path below {}", excerpt(name, 60), folder.display()));
    }
    let path = folder.join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(list::no_image(folder, name, "unpack the images there")),
    }
}

/// An error about a line.
pub(super) fn error(file: &Path, line: usize, what: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} line {line}: {what}", file.display()))
}
