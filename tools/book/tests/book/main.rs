//! The book builds without a warning, shows parts of the sources that exist, and keeps the form of its chapters.

mod html;
mod warnings;

use bcreid_book::anchors;
use bcreid_book::figures;
use bcreid_book::page::{self, Page};
use bcreid_book::{pages_folder, repository};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The sections of a chapter, in their order.
const SECTIONS: [&str; 7] = [
    "What you will be able to do",
    "The idea",
    "In the product",
    "Run it",
    "Exercises",
    "What others do",
    "A bug that shipped",
];

/// The languages of fenced blocks. A block of code holds includes alone; `text` is for formulas and for
/// sessions of a debugger, which tools/softcuda/tests/debug.rs compares.
const CODE: [&str; 3] = ["rust", "cpp", "python"];

fn pages() -> Vec<Page> {
    page::all().unwrap()
}

fn chapters() -> Vec<Page> {
    pages().into_iter().filter(|page| page.chapter().is_some()).collect()
}

#[test]
fn the_book_builds_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = warnings::of(|| html::build(folder.path()));
    assert!(warnings.is_empty(), "{warnings:#?}");
    for page in pages().iter().filter(|page| page.name() != "SUMMARY.md") {
        let name = if page.name() == "README.md" { "index.md" } else { page.name() };
        let file = folder.path().join(name).with_extension("html");
        assert!(file.is_file(), "{} is not in SUMMARY.md", page.name());
    }
}

#[test]
fn warnings_of_mdbook_are_seen() {
    let warnings = warnings::of(|| {
        let book = tempfile::tempdir().unwrap();
        fs::create_dir(book.path().join("src")).unwrap();
        fs::write(book.path().join("src/SUMMARY.md"), "[One](one.md)\n").unwrap();
        fs::write(book.path().join("src/one.md"), "# One\n\n{{#include nowhere.rs:part}}\n").unwrap();
        let mut loaded = mdbook_driver::MDBook::load(book.path()).unwrap();
        loaded.config.build.build_dir = book.path().join("html");
        loaded.build().unwrap();
    });
    assert!(warnings.iter().any(|warning| warning.contains("nowhere.rs")), "{warnings:#?}");
}

#[test]
fn links_lead_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    html::build(folder.path());
    let checked = html::check_links(folder.path());
    assert!(checked > 50, "{checked} links");
}

/// Code comes from the sources by anchors: a block of code holds nothing else, and no anchor is left over.
#[test]
fn code_comes_from_the_sources() {
    let mut shown = BTreeSet::new();
    for page in pages() {
        for block in page.blocks().iter().filter(|block| CODE.contains(&block.language)) {
            let includes =
                block.lines.iter().all(|line| line.starts_with("{{#include ") && line.ends_with("}}"));
            let place = format!("{}:{}", page.name(), block.line);
            assert!(includes && !block.lines.is_empty(), "{place}: a block of code holds includes alone");
        }
        for include in page.includes() {
            let file = include.file.canonicalize();
            let file =
                file.unwrap_or_else(|error| panic!("{}: {}: {error}", page.name(), include.file.display()));
            let name = include.anchor.unwrap_or_else(|| panic!("{}: name the part of a file", page.name()));
            let part = anchors::part(&fs::read_to_string(&file).unwrap(), &name);
            part.unwrap_or_else(|error| panic!("{}: {}: {error}", page.name(), file.display()));
            shown.insert((file, name));
        }
    }
    for anchor in anchors::all(&repository()).unwrap() {
        assert!(shown.contains(&anchor), "{}: no page shows the anchor {}", anchor.0.display(), anchor.1);
    }
}

#[test]
fn blocks_have_a_known_language() {
    for page in pages() {
        for block in page.blocks() {
            let known = CODE.contains(&block.language) || ["console", "text"].contains(&block.language);
            // The front page sets up a shell; these commands are not run by a test.
            let is_setup = page.name() == "README.md" && block.language == "sh";
            assert!(known || is_setup, "{}:{}: the language {:?}", page.name(), block.line, block.language);
        }
    }
}

#[test]
fn chapters_have_the_same_sections_and_numbered_exercises() {
    for page in chapters() {
        let chapter = page.chapter().unwrap();
        let headings = page.headings();
        let title = format!("{chapter}. ");
        assert!(
            headings[0].0 == 1 && headings[0].1.starts_with(&title),
            "{}: {:?}",
            page.name(),
            headings[0]
        );
        let sections: Vec<&str> =
            headings.iter().filter(|(level, _)| *level == 2).map(|(_, text)| *text).collect();
        assert_eq!(sections, SECTIONS, "{}", page.name());

        let text = page.text.split("\n## ").find(|section| section.starts_with("Exercises\n")).unwrap();
        let exercises: Vec<&str> = text.split("\n### ").skip(1).collect();
        assert!(!exercises.is_empty(), "{} has no exercise", page.name());
        for (number, exercise) in (1..).zip(exercises) {
            let name = format!("Exercise {chapter}.{number}: ");
            assert!(exercise.starts_with(&name), "{}: expected {name}", page.name());
            assert!(
                exercise.contains("\n**Grader.** "),
                "{}: {name} says what the grader checks",
                page.name()
            );
        }
        for section in ["What others do", "A bug that shipped"] {
            let text = page.text.split("\n## ").find(|text| text.starts_with(section)).unwrap();
            assert!(text.contains("](https://"), "{}: {section} names its sources", page.name());
        }
        let runs = page.blocks().iter().any(|block| block.language == "console");
        assert!(runs, "{} runs nothing", page.name());
        let lines = page.text.lines().count();
        assert!((100..=350).contains(&lines), "{}: {lines} lines", page.name());
    }
}

#[test]
fn lines_are_short() {
    for page in pages() {
        for (number, line) in page.prose() {
            // A table's row cannot be broken, nor can a link.
            let may_be_long = line.starts_with('|') || line.contains("](");
            let columns = line.chars().count();
            assert!(columns <= 120 || may_be_long, "{}:{number}: {columns} columns", page.name());
        }
    }
}

#[test]
fn figures_are_those_that_the_program_draws() {
    let folder = pages_folder().join("figures");
    let figures = figures::all().unwrap();
    let on_disk: BTreeSet<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let drawn: BTreeSet<PathBuf> =
        figures.iter().map(|figure| folder.join(figure.name).with_extension("svg")).collect();
    assert_eq!(on_disk, drawn);
    let pages: String = pages().into_iter().map(|page| page.text).collect();
    for figure in figures {
        let path = folder.join(figure.name).with_extension("svg");
        let committed = fs::read_to_string(&path).unwrap();
        assert!(committed == figure.svg, "{} is not what `cargo run -p bcreid-book` draws", path.display());
        assert!(pages.contains(&format!("](figures/{}.svg)", figure.name)), "no page shows {}", figure.name);
    }
}

/// The documentation of a module names its chapter: `Book: [chapter N](PATH).`, the path being that from the module's
/// page of `cargo doc`. Other words may follow. Each file of src/ops names a chapter, and each file of src that a page
/// shows names the chapter of this page.
#[test]
fn modules_name_their_chapters() {
    let root = repository();
    let mut named = BTreeSet::new();
    for source in sources(&root.join("src")) {
        let chapters = chapters_of(&root, &source);
        let is_operation = source.starts_with(root.join("src/ops"));
        assert!(
            !is_operation || !chapters.is_empty(),
            "{}: the documentation of an operation names a chapter: `//! Book: [chapter N](PATH).`; for one that no \
             chapter explains, the nearest one, with words that say so",
            source.display()
        );
        named.extend(chapters.into_iter().map(|chapter| (source.clone(), chapter)));
    }
    assert!(named.len() >= 80, "{} modules name a chapter", named.len());
    for page in chapters() {
        let chapter = page.chapter().unwrap();
        for include in page.includes() {
            let file = include.file.canonicalize().unwrap();
            assert!(
                !file.starts_with(root.join("src")) || named.contains(&(file.clone(), chapter)),
                "{}: {} shows it, so its documentation has `//! Book: [chapter {chapter}](PATH).`",
                file.display(),
                page.name()
            );
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The chapters that the documentation of a module names, each with a path that leads to its page.
fn chapters_of(root: &Path, source: &Path) -> Vec<usize> {
    // src/ops/relu.rs is documented in target/doc/bcreid/ops/relu/index.html, src/lib.rs in target/doc/bcreid/index.html.
    let module = source.strip_prefix(root.join("src")).unwrap().with_extension("");
    let module = if module.ends_with("mod") || module == Path::new("lib") {
        module.parent().unwrap()
    } else {
        &module
    };
    let depth = Path::new("target/doc/bcreid").join(module).components().count();
    let text = fs::read_to_string(source).unwrap();
    let mut chapters = Vec::new();
    for link in references(&text) {
        let wrong = || panic!("{}: [{link}: expected [chapter N](PATH)", source.display());
        let Some((chapter, path)) = link.strip_prefix("chapter ").and_then(|rest| rest.split_once("]("))
        else {
            wrong()
        };
        let path = path.split(')').next().unwrap_or_default();
        let Some(inside) = path.strip_prefix(&"../".repeat(depth)) else { wrong() };
        let page = root.join(inside);
        assert!(page.is_file(), "{}: {path} does not exist", source.display());
        let number = Page::read(page).unwrap().chapter();
        assert_eq!(
            number.map(|number| number.to_string()).as_deref(),
            Some(chapter),
            "{}: {path}",
            source.display()
        );
        chapters.extend(number);
    }
    chapters
}

/// The text behind each `[` in a module's documentation, in the paragraphs that begin with `Book: `.
fn references(text: &str) -> Vec<&str> {
    let mut is_book = false;
    let mut found = Vec::new();
    for line in text.lines().map_while(|line| line.strip_prefix("//!")) {
        is_book = line.starts_with(" Book: ") || is_book && !line.trim().is_empty();
        if is_book {
            found.extend(line.split('[').skip(1));
        }
    }
    found
}

#[test]
fn a_paragraph_about_the_book_may_have_several_lines_and_ends_at_an_empty_one() {
    let text = "//! One.\n//! Book: [a](b), and\n//! [c](d) too.\n//!\n//! [e](f)\nuse x; // [g](h)\n//! Book: [i](j)\n";
    assert_eq!(references(text), ["a](b), and", "c](d) too."]);
}
