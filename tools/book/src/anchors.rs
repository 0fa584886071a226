//! Anchors: comments in the sources that mark the part which a page shows, in the form of mdBook.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folders whose files may have anchors.
const FOLDERS: [&str; 6] = ["src", "cuda", "tests", "examples", "benches", "tools"];

/// The part of `text` between the comments `ANCHOR: name` and `ANCHOR_END: name`, without other anchors' comments.
///
/// # Errors
/// An anchor that is missing, given twice, not closed, or empty.
pub fn part(text: &str, name: &str) -> Result<String, String> {
    let at = |marker: &str| {
        let found = text.lines().enumerate().filter(|(_, line)| marked(line, marker) == Some(name));
        let found: Vec<usize> = found.map(|(number, _)| number).collect();
        match found[..] {
            [one] => Ok(one),
            _ => Err(format!("{marker} {name}: found {} times, expected once", found.len())),
        }
    };
    let (begin, end) = (at("ANCHOR:")?, at("ANCHOR_END:")?);
    let lines: Vec<&str> = text.lines().take(end).skip(begin + 1).filter(|line| !is_marker(line)).collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        return Err(format!("ANCHOR: {name} is empty"));
    }
    Ok(lines.join("\n"))
}

/// Every anchor of the sources below `root`: file and name.
///
/// # Errors
/// A file that cannot be read.
pub fn all(root: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path
            .extension()
            .is_some_and(|end| ["rs", "cu", "cuh", "py"].iter().any(|known| end == *known))
        {
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let names = text.lines().filter_map(|line| marked(line, "ANCHOR:"));
            found.extend(names.map(|name| (path.clone(), name.to_string())));
        }
    }
    Ok(())
}

/// The name behind `marker` in a line that is a comment with nothing else.
fn marked<'l>(line: &'l str, marker: &str) -> Option<&'l str> {
    let comment = line.trim_start();
    let comment = comment.strip_prefix("//").or_else(|| comment.strip_prefix('#'))?;
    Some(comment.trim_start().strip_prefix(marker)?.trim())
}

fn is_marker(line: &str) -> bool {
    marked(line, "ANCHOR:").or_else(|| marked(line, "ANCHOR_END:")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_once_and_is_not_empty() {
        let text = "a\n// ANCHOR: x\nb\n    // ANCHOR: y\nc\n    // ANCHOR_END: y\n// ANCHOR_END: x\n// ANCHOR: z\n// ANCHOR_END: z\n";
        assert_eq!(part(text, "x").unwrap(), "b\nc");
        assert_eq!(part(text, "y").unwrap(), "c");
        assert!(part(text, "z").unwrap_err().contains("empty"));
        assert!(part(text, "w").unwrap_err().contains("found 0 times"));
        assert!(part(&text.repeat(2), "y").unwrap_err().contains("found 2 times"));
    }
}
