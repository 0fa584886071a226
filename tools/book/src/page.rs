//! A page of the book: its headings, fenced blocks, includes and links.

use crate::pages_folder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A page in Markdown.
pub struct Page {
    /// The file.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

/// A fenced block.
pub struct Block<'p> {
    /// The number of the opening line, from 1.
    pub line: usize,
    /// The language behind the opening fence; empty if there is none.
    pub language: &'p str,
    /// The lines between the fences.
    pub lines: Vec<&'p str>,
}

/// The part of a file that a page shows: `{{#include PATH:ANCHOR}}`.
pub struct Include {
    /// The file.
    pub file: PathBuf,
    /// The name of the anchor; none if the whole file is shown.
    pub anchor: Option<String>,
}

/// All pages, ordered by file name.
///
/// # Errors
/// A page that cannot be read.
pub fn all() -> io::Result<Vec<Page>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(pages_folder())?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(path: PathBuf) -> io::Result<Self> {
        let text = fs::read_to_string(&path)?;
        Ok(Page { path, text })
    }

    /// The file name: `03-tape.md`.
    pub fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The number of the chapter, from the file name; none for the front page and the summary.
    pub fn chapter(&self) -> Option<usize> {
        self.name().split_once('-')?.0.parse().ok()
    }

    /// The fenced blocks, in their order.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut is_open = false;
        for (number, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), is_open) {
                (Some(language), false) => {
                    blocks.push(Block { line: number + 1, language: language.trim(), lines: Vec::new() });
                    is_open = true;
                }
                (Some(_), true) => is_open = false,
                (None, true) => blocks.last_mut().expect("a block is open").lines.push(line),
                (None, false) => {}
            }
        }
        blocks
    }

    /// The lines outside of fenced blocks, with their numbers from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut is_code = false;
        let mut lines = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                lines.push((number + 1, line));
            }
        }
        lines
    }

    /// Level and text of each heading.
    pub fn headings(&self) -> Vec<(usize, &str)> {
        let heading = |line: &'_ str| line.chars().take_while(|&c| c == '#').count();
        let lines = self.prose().into_iter().map(|(_, line)| (heading(line), line));
        lines.filter(|(level, _)| *level > 0).map(|(level, line)| (level, line[level..].trim())).collect()
    }

    /// The includes of the page; paths are relative to its folder.
    pub fn includes(&self) -> Vec<Include> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let inner = self.text.split("{{#include ").skip(1).filter_map(|rest| rest.split("}}").next());
        inner
            .map(|inner| match inner.trim().split_once(':') {
                Some((file, anchor)) => Include { file: folder.join(file), anchor: Some(anchor.into()) },
                None => Include { file: folder.join(inner.trim()), anchor: None },
            })
            .collect()
    }

    /// The output of the first command that begins with `command`, as the page shows it. Empty if there is none.
    pub fn output_of(&self, command: &str) -> Vec<String> {
        let prompt = format!("$ {command}");
        let consoles = self.blocks().into_iter().filter(|block| block.language == "console");
        let found = consoles.flat_map(|block| block.lines).skip_while(|line| !line.starts_with(&prompt));
        found.skip(1).take_while(|line| !line.starts_with("$ ")).map(String::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let text = "# A\n\n```console\n$ one\n1\n$ two a\n# 2\n```\n\n## B\n{{#include ../x.rs:part}} {{#include y.svg}}\n";
        let page = Page { path: PathBuf::from("/book/07-parts.md"), text: text.into() };
        assert_eq!(page.chapter(), Some(7));
        assert_eq!(page.headings(), [(1, "A"), (2, "B")]);
        assert_eq!(page.output_of("two"), ["# 2"]);
        let includes = page.includes();
        assert_eq!(
            (includes[0].file.as_path(), includes[0].anchor.as_deref()),
            (Path::new("/book/../x.rs"), Some("part"))
        );
        assert_eq!(includes[1].anchor, None);
        assert_eq!((page.blocks()[0].line, page.blocks()[0].language), (3, "console"));
    }
}
