//! Folders that are not in the expected layout: the error says what was found, which layout that nearly is, and what
//! was expected.

use super::folder::has_image_name;
use super::layout::Layout;
use super::list::LISTS;
use crate::console::counted;
use crate::error::excerpt;
use crate::{Error, Result};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Number of entries of a folder that a message names.
const SHOWN: usize = 5;
/// Number of characters of a name that a message shows.
const LONGEST: usize = 60;

/// Checks that a path is a folder.
pub(super) fn require_folder(root: &Path, layout: Option<Layout>) -> Result<()> {
    if std::fs::metadata(root).map_err(Error::io(root))?.is_dir() {
        return Ok(());
    }
    let shown = root.display();
    let is_list = LISTS.iter().any(|list| root.file_name() == Some(OsStr::new(list)));
    Err(Error::Data(match root.parent().filter(|_| is_list) {
        Some(folder) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            format!("{shown}: one of the lists of a data set; give their folder: {}", folder.display())
        }
        None => format!(
            "{shown}: a data set is a folder, and this is a file; give the folder that holds {}",
            expected(layout)
        ),
    }))
}

/// The error about a folder that has not the layout, or none of the layouts.
pub(super) fn error(root: &Path, layout: Option<Layout>) -> Error {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Error::Data(format!(
            "{}: the folder cannot be listed; check its permissions",
            root.display()
        ));
    };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_unstable();
    let is_data_set = |path: &&PathBuf| path.is_dir() && !matches!(Layout::detect(path), Ok(None));
    if layout.is_none()
        && let Some(inner) = found.iter().find(is_data_set)
    {
        return Error::Data(format!(
            "{}: this folder is not a data set, but holds one; give {}",
            root.display(),
            inner.display()
        ));
    }
    let shown: Vec<String> = found.iter().take(SHOWN).map(|path| name(path)).collect();
    let listed = match found.len() {
        0 => "the folder is empty".to_string(),
        n if n > shown.len() => format!("found {} and {} more", shown.join(", "), n - shown.len()),
        _ => format!("found {}", shown.join(", ")),
    };
    if layout.is_none_or(|layout| layout == Layout::Folders)
        && let Some(nearly) = part_alone(root).or_else(|| without_parts(root, &found, &listed))
    {
        return nearly;
    }
    let what = match layout {
        None => "not a data set".to_string(),
        Some(layout) => format!("not a data set in the layout {layout}"),
    };
    Error::Data(format!("{}: {what}: expected {}; {listed}", root.display(), expected(layout)))
}

/// The name of an entry of a folder, for a message.
fn name(path: &Path) -> String {
    let name = excerpt(&path.file_name().unwrap_or_default().to_string_lossy(), LONGEST);
    if path.is_dir() { name + "/" } else { name }
}

/// The error about one part of a data set in the place of the data set; `None` for other folders.
fn part_alone(root: &Path) -> Option<Error> {
    let whole = root.canonicalize().ok()?;
    let (above, own) = (whole.parent()?, whole.file_name()?.to_str()?);
    let layout = Layout::detect(above).ok()??;
    // As typed, if the folder above is in it.
    let typed = root.parent().filter(|above| !above.as_os_str().is_empty() && root.ends_with(own));
    let shown = typed.unwrap_or(above).display();
    let is_part = layout.parts().contains(&own) || (layout == Layout::Folders && own == "train_all");
    is_part.then(|| {
        Error::Data(format!(
            "{}: this is the part {own} of a data set in the layout {layout}; give the folder above: {shown}",
            root.display()
        ))
    })
}

/// The error about images, or folders of images, that are not below the folders of the parts; `None` for other folders.
fn without_parts(root: &Path, found: &[PathBuf], listed: &str) -> Option<Error> {
    let root = root.display();
    let holds_image = |path: &&PathBuf| {
        let entries = path.is_dir().then(|| std::fs::read_dir(path).ok()).flatten();
        entries.is_some_and(|entries| entries.flatten().any(|entry| has_image_name(&entry.path())))
    };
    let persons: Vec<&PathBuf> = found.iter().filter(holds_image).collect();
    // One folder of images may be anything.
    if let [first, _, ..] = persons[..] {
        return Some(Error::Data(format!(
            "{root}: {} of images ({}, ...) without the parts of a data set; if each is a person, put those for \
             training below {root}/train, and those for the test below {root}/query and {root}/gallery (the layout folders)",
            counted(persons.len(), "folder"),
            name(first)
        )));
    }
    let is_image = |path: &&PathBuf| path.is_file() && has_image_name(path);
    let images = found.iter().filter(is_image).count();
    (images > 0 && 2 * images >= found.len()).then(|| {
        Error::Data(format!(
            "{root}: {} without the parts of a data set; name them with their persons in lists (train.csv, query.csv, \
             gallery.csv), or put them into folders of persons below train/, query/ and gallery/; their features alone \
             need no data set (extract --images); {listed}",
            counted(images, "image")
        ))
    })
}

/// The tree of a layout, or of the most common ones.
fn expected(layout: Option<Layout>) -> String {
    match layout {
        Some(layout) => layout.tree(),
        None => format!(
            "{} (as in Market-1501), or {} (folders), or {} (list), or the tree of another layout (docs/data-sets.md)",
            Layout::Market1501.tree(),
            Layout::Folders.tree(),
            Layout::List.tree()
        ),
    }
}
