//! Folders that are not in the expected layout: the error says what was found and what was expected.

use super::layout::Layout;
use crate::error::excerpt;
use crate::{Error, Result};
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
    Err(Error::Data(format!(
        "{}: a data set is a folder, and this is a file; give the folder that holds {}",
        root.display(),
        expected(layout)
    )))
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
    let name = |path: &PathBuf| {
        let name = excerpt(&path.file_name().unwrap_or_default().to_string_lossy(), LONGEST);
        if path.is_dir() { name + "/" } else { name }
    };
    let shown: Vec<String> = found.iter().take(SHOWN).map(name).collect();
    let found = match found.len() {
        0 => "the folder is empty".to_string(),
        n if n > shown.len() => format!("found {} and {} more", shown.join(", "), n - shown.len()),
        _ => format!("found {}", shown.join(", ")),
    };
    let what = match layout {
        None => "not a data set".to_string(),
        Some(layout) => format!("not a data set in the layout {layout}"),
    };
    Error::Data(format!("{}: {what}: expected {}; {found}", root.display(), expected(layout)))
}

/// The tree of a layout, or of the most common ones.
fn expected(layout: Option<Layout>) -> String {
    const COMMON: [Layout; 6] =
        [Layout::List, Layout::Folders, Layout::Msmt17, Layout::Veri776, Layout::Mars, Layout::Viper];
    match layout {
        Some(layout) => layout.tree(),
        None => {
            let others = COMMON.map(|layout| format!("{} ({layout})", layout.tree()));
            format!("{} (as in Market-1501), or {}", Layout::Market1501.tree(), others.join(", or "))
        }
    }
}
