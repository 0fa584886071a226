//! Tools of the book in `docs/book`: a reader of its pages, the anchors in the sources, and the figures.
//!
//! ```sh
//! cargo run --release -p bcreid-book                    # draws the figures anew
//! cargo run --release -p bcreid-book --example html     # builds the book as HTML, into docs/book/book
//! cargo test --release -p bcreid-book                   # checks the book
//! ```

pub mod anchors;
pub mod figures;
pub mod page;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the crate lies in tools/book of the repository")
}

/// The folder of the book's pages.
pub fn pages_folder() -> PathBuf {
    repository().join("docs/book/src")
}
