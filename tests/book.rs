//! The runs of the book: each command in a `console` block of docs/book is run as a reader runs it, and its output is
//! compared with the output that the page shows. `[..]` stands for some characters of a line, a line `...` for lines.
//!
//! The examples must be built, see `tests/examples.rs`, and the program `bcreid-learn` beside `bcreid`.
//! `TRYCMD=overwrite cargo test --release --test book` writes the output of today into the pages.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

/// Programs of the system that the book uses.
const SYSTEM: [&str; 1] = ["cat"];

#[test]
fn commands_print_what_the_pages_show() {
    let bcreid = PathBuf::from(env!("CARGO_BIN_EXE_bcreid"));
    let examples = bcreid.parent().unwrap().join("examples");
    let program = |name: &str| match name {
        "bcreid" => Some(bcreid.clone()),
        name if SYSTEM.contains(&name) => Some(Path::new("/bin").join(name)),
        name => Some(examples.join(format!("{name}{EXE_SUFFIX}"))).filter(|program| program.is_file()),
    };
    let cases = trycmd::TestCases::new();
    let mut commands = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (number, line) in text.lines().enumerate() {
            let Some(command) = line.strip_prefix("$ ") else { continue };
            let name = command.split(' ').next().unwrap_or_default();
            // trycmd would skip a program that it does not know.
            let program = program(name).unwrap_or_else(|| {
                panic!(
                    "{}:{}: {name} is no program of this package: is the example built? (cargo build --release --examples)",
                    page.display(),
                    number + 1
                )
            });
            cases.register_bin(name, program);
            commands += 1;
        }
        cases.case(&page);
    }
    assert!(commands >= 5, "{commands} commands");
    // Commands write files where they run.
    let folder = tempfile::tempdir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    cases.run();
}

fn pages() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/book/src");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.sort();
    pages
}
