//! Where the exercises and the pages of the book are.

use std::path::{Path, PathBuf};

/// The root of the repository: the one around the current folder, or the one from which this program was built.
///
/// # Errors
/// Neither exists.
pub fn find() -> Result<PathBuf, String> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let current = std::env::current_dir().unwrap_or_default();
    let around = current.ancestors().map(Path::to_path_buf);
    let mut candidates = around.chain(std::iter::once(built.clone()));
    let root = candidates.find(|root| root.join("tools/learn/exercises").is_dir() && pages(root).is_dir());
    let root = root.and_then(|root| root.canonicalize().ok());
    root.ok_or_else(|| {
        format!(
            "the repository is gone from {}, where this program was built: the exercises and the book are there; \
             change to a folder inside of a checkout",
            built.display()
        )
    })
}

/// The folder of the book's pages.
pub fn pages(root: &Path) -> PathBuf {
    root.join("docs/book/src")
}
