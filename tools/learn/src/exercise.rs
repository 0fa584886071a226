//! The exercises: a folder of `tools/learn/exercises` for each, with its title and task on a page of the book.

use crate::repository::pages;
use std::cmp::Reverse;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// The number of an exercise: the chapter, and the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number {
    /// The chapter.
    pub chapter: usize,
    /// The place in the chapter, from 1.
    pub place: usize,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.chapter, self.place)
    }
}

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let number = parts.map(|(chapter, place)| Number { chapter, place });
        number.ok_or_else(|| format!("{text}: an exercise has a number such as 4.2"))
    }
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Functions in Rust, in `answer.rs`.
    Rust,
    /// Kernels, in `answer.cu`.
    Cuda,
    /// An operation of the engine: functions in Rust in `answer.rs`, and their kernels in `answer.cu`.
    Operation,
    /// Lines, in `answer.txt`.
    Text,
}

impl Kind {
    /// The one of two files comes first: it also has the file of another kind.
    const ALL: [Kind; 4] = [Kind::Operation, Kind::Rust, Kind::Cuda, Kind::Text];

    /// The ends of the names of its files.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Kind::Rust => &["rs"],
            Kind::Cuda => &["cu"],
            Kind::Operation => &["rs", "cu"],
            Kind::Text => &["txt"],
        }
    }
}

/// An exercise.
#[derive(Debug)]
pub struct Exercise {
    /// Its number.
    pub number: Number,
    /// Its title, from the page.
    pub title: String,
    /// The title of its chapter.
    pub chapter_title: String,
    /// The task, from the page: Markdown, without the heading.
    pub task: String,
    /// How the answer is written.
    pub kind: Kind,
    /// Its folder in `tools/learn/exercises`.
    pub folder: PathBuf,
    /// The page of its chapter.
    pub page: PathBuf,
    /// The section of the page that helps.
    pub read: String,
    /// What a failed check of the hole says.
    pub hole_says: String,
    /// Whether the answer calls the library.
    pub needs_library: bool,
    /// Modules that the answer in Rust uses: their files, which the reader gets copies of.
    pub support: Vec<PathBuf>,
    /// Kernel files of the engine that an operation needs besides its own one: the tape adds and converts tensors.
    pub engine_kernels: Vec<PathBuf>,
    /// How long the grader may run, in time of the processor.
    pub limit: Duration,
}

impl Exercise {
    /// The files `hole` or `solution` of its folder, in the order of [`Kind::extensions`].
    pub fn files(&self, name: &str) -> Vec<PathBuf> {
        self.kind
            .extensions()
            .iter()
            .map(|extension| self.folder.join(name).with_extension(extension))
            .collect()
    }

    /// The grader: of an operation that of its Rust part.
    pub fn grader(&self) -> PathBuf {
        self.folder.join("grader.rs")
    }

    /// The names of the reader's files.
    pub fn answers(&self) -> Vec<String> {
        self.kind.extensions().iter().map(|extension| format!("answer.{extension}")).collect()
    }

    /// Answers that are wrong, for the tests of the grader: the files of each. Of an operation one file may be missing
    /// in the folder; it is that of the solution.
    ///
    /// # Errors
    /// A folder that cannot be read; a file of another kind.
    pub fn wrong(&self) -> Result<Vec<Vec<PathBuf>>, String> {
        let own = sorted_entries(&self.folder.join("wrong"))?;
        let extensions = self.kind.extensions();
        let is_known = |path: &PathBuf| {
            path.extension().is_some_and(|end| extensions.iter().any(|extension| end == *extension))
        };
        if let Some(other) = own.iter().find(|path| !is_known(path)) {
            return Err(format!("{}: a wrong answer ends in {}", other.display(), extensions.join(" or ")));
        }
        let mut answers: Vec<PathBuf> = own.iter().map(|path| path.with_extension("")).collect();
        answers.dedup();
        let files = |answer: &PathBuf| {
            let solution = self.files("solution").into_iter().zip(extensions);
            let or_own = |(solution, extension): (PathBuf, &&str)| {
                Some(answer.with_extension(extension)).filter(|file| own.contains(file)).unwrap_or(solution)
            };
            solution.map(or_own).collect()
        };
        Ok(answers.iter().map(files).collect())
    }
}

/// All exercises, by their numbers.
///
/// # Errors
/// A folder or page that cannot be read, or that lacks something.
pub fn all(root: &Path) -> Result<Vec<Exercise>, String> {
    let folders = sorted_entries(&root.join("tools/learn/exercises"))?;
    let mut exercises: Vec<Exercise> =
        folders.iter().map(|folder| open(root, folder)).collect::<Result<_, _>>()?;
    exercises.sort_by_key(|exercise| exercise.number);
    Ok(exercises)
}

/// The exercise with a number.
///
/// # Errors
/// There is none; the message names the nearest ones.
pub fn find<'e>(exercises: &'e [Exercise], number: &str) -> Result<&'e Exercise, String> {
    let wanted = number.parse::<Number>();
    if let Ok(wanted) = &wanted
        && let Some(found) = exercises.iter().find(|exercise| exercise.number == *wanted)
    {
        return Ok(found);
    }
    // Of the same chapter if it is known, else the most similar title or number.
    let mut near: Vec<&Exercise> = match &wanted {
        Ok(wanted) => exercises.iter().filter(|exercise| exercise.number.chapter == wanted.chapter).collect(),
        Err(_) => Vec::new(),
    };
    if near.is_empty() {
        let likeness = |name: &str| strsim::jaro_winkler(&name.to_lowercase(), &number.to_lowercase());
        let of = |exercise: &&Exercise| {
            let best = likeness(&exercise.title).max(likeness(&exercise.number.to_string()));
            Reverse((best * 1e6) as u64)
        };
        near = exercises.iter().collect();
        near.sort_by_key(of);
        near.truncate(3);
    }
    let near: Vec<String> =
        near.iter().map(|exercise| format!("{} ({})", exercise.number, exercise.title)).collect();
    Err(format!("no exercise {number}; the nearest: {}; bcreid learn lists all", near.join(", ")))
}

fn open(root: &Path, folder: &Path) -> Result<Exercise, String> {
    let at = |detail: String| format!("{}: {detail}", folder.display());
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let number: Number = name.parse().map_err(at)?;
    let has = |extension: &&str| folder.join("hole").with_extension(extension).is_file();
    let kind = Kind::ALL.into_iter().find(|kind| kind.extensions().iter().all(has));
    let kind = kind.ok_or_else(|| at("no hole.rs, hole.cu or hole.txt".into()))?;

    let file = folder.join("exercise.toml");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
    let string = |key: &str| table.get(key).and_then(|value| value.as_str()).map(String::from);
    let need = |key: &str| string(key).ok_or_else(|| format!("{}: no {key}", file.display()));

    let page = page_of(root, number.chapter)?;
    let text = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let (title, task) =
        task_of(&text, number).ok_or_else(|| format!("{}: no exercise {number}", page.display()))?;
    Ok(Exercise {
        number,
        title: title.into(),
        chapter_title: text
            .lines()
            .next()
            .and_then(|line| line.split_once(". "))
            .map_or("", |(_, title)| title)
            .into(),
        task: task.into(),
        kind,
        folder: folder.into(),
        page,
        read: need("read")?,
        hole_says: need("hole_says")?,
        needs_library: table.get("library").and_then(toml::Value::as_bool).unwrap_or(false),
        support: support_of(root, &table).map_err(|detail| format!("{}: {detail}", file.display()))?,
        engine_kernels: table
            .get("kernels")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
            .map(|stem| root.join("cuda").join(stem).with_extension("cu"))
            .collect(),
        limit: Duration::from_secs(
            table
                .get("seconds")
                .and_then(toml::Value::as_integer)
                .map_or(20, |seconds| seconds.max(1) as u64),
        ),
    })
}

/// The files of `support`, a name or a list of names: a plain name is a file of `tools/learn/support`, a path begins at
/// the root of the repository.
fn support_of(root: &Path, table: &toml::Table) -> Result<Vec<PathBuf>, String> {
    let names = match table.get("support") {
        None => return Ok(Vec::new()),
        Some(toml::Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
    };
    let file = |name: &toml::Value| {
        let name = name.as_str().ok_or("support is a name, or a list of names")?;
        let path =
            if name.contains('/') { root.join(name) } else { root.join("tools/learn/support").join(name) };
        if path.is_file() { Ok(path) } else { Err(format!("support: no file {}", path.display())) }
    };
    names.iter().map(file).collect()
}

/// The page of a chapter: `docs/book/src/04-*.md`.
fn page_of(root: &Path, chapter: usize) -> Result<PathBuf, String> {
    let start = format!("{chapter:02}-");
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start));
    let found = sorted_entries(&pages(root))?.into_iter().find(is_it);
    found.ok_or_else(|| format!("{}: no page of chapter {chapter}", pages(root).display()))
}

/// Title and task of an exercise on its page.
fn task_of(page: &str, number: Number) -> Option<(&str, &str)> {
    let (_, rest) = page.split_once(&format!("\n### Exercise {number}: "))?;
    let (title, rest) = rest.split_once('\n')?;
    let end = ["\n### ", "\n## "].iter().filter_map(|next| rest.find(next)).min().unwrap_or(rest.len());
    Some((title, rest[..end].trim()))
}

fn sorted_entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let at = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(at)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(at))
        .collect::<Result<Vec<PathBuf>, _>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_the_part_of_its_page() {
        let page = "# 4. A\n\n## Exercises\n\n### Exercise 4.1: One\n\nDo it.\n\n### Exercise 4.10: Ten\n\nDo \
                    more.\n\n## Next\n";
        let of = |place| task_of(page, Number { chapter: 4, place });
        assert_eq!(of(1), Some(("One", "Do it.")));
        assert_eq!(of(10), Some(("Ten", "Do more.")));
        assert_eq!(of(2), None);
    }

    #[test]
    fn support_is_a_name_or_names() {
        let root = crate::repository::find().unwrap();
        let of = |text: &str| support_of(&root, &text.parse().unwrap());
        let (tape, meter) = (root.join("tools/learn/support/tape.rs"), "examples/book/convolution/meter.rs");
        assert_eq!(of(""), Ok(Vec::new()));
        assert_eq!(of("support = \"tape.rs\""), Ok(vec![tape.clone()]));
        assert_eq!(of(&format!("support = [\"{meter}\", \"tape.rs\"]")), Ok(vec![root.join(meter), tape]));
        assert!(of("support = \"band.rs\"").unwrap_err().contains("no file"));
        assert!(of("support = [1]").unwrap_err().contains("a list of names"));
    }

    #[test]
    fn numbers_are_read_and_ordered() {
        assert!("4.10".parse::<Number>().unwrap() > "4.9".parse().unwrap());
        assert!("four".parse::<Number>().unwrap_err().contains("such as 4.2"));
    }
}
