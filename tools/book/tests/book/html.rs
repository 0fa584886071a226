//! The book as HTML: its build, and the links in it.

use bcreid_book::pages_folder;
use mdbook_driver::MDBook;
use std::fs;
use std::path::Path;

/// Builds the book into `folder`.
pub fn build(folder: &Path) {
    let mut book = MDBook::load(pages_folder().parent().unwrap()).unwrap();
    book.config.build.build_dir = folder.into();
    book.build().unwrap();
}

/// Checks the links and images in the text of all pages of the book that was built into `folder`, and returns their
/// number. A page and its heading exist; a file of the repository exists; an address of another host has a form that
/// leads somewhere.
pub fn check_links(folder: &Path) -> usize {
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // The book on one page repeats the others.
        if !name.ends_with(".html") || ["print.html", "404.html", "toc.html"].contains(&name.as_str()) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let main = text
            .split("<main>")
            .nth(1)
            .and_then(|rest| rest.split("</main>").next())
            .expect("a page has text");
        for attribute in ["href=\"", "src=\""] {
            for link in main.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                check(folder, &name, link);
                checked += 1;
            }
        }
    }
    checked
}

fn check(folder: &Path, page: &str, link: &str) {
    if link.contains("://") {
        let host = link.strip_prefix("https://").and_then(|rest| rest.split('/').next());
        let is_address = host.is_some_and(|host| host.contains('.') && !host.ends_with('.'));
        assert!(is_address && !link.contains(' ') && !link.ends_with(['.', ',']), "{page}: {link}");
        return;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { folder.join(page) } else { folder.join(file) };
    // A path out of the book counts from docs/book/book, the usual place of the HTML, which is as deep as docs/book/src.
    let target = if file.starts_with("../") { pages_folder().join(file) } else { target };
    // mdBook turns the end .md of every link into .html.
    let advice =
        if file.starts_with("../") { "; a page outside of the book is named without a link" } else { "" };
    assert!(target.exists(), "{page}: {link} does not exist{advice}");
    if !heading.is_empty() {
        let text = fs::read_to_string(&target).unwrap();
        assert!(text.contains(&format!("id=\"{heading}\"")), "{page}: {link}: no such heading");
    }
}
