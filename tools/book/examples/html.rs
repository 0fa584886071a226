//! Builds the book as HTML into docs/book/book, as `mdbook build docs/book` does.
//!
//!     cargo run --release -p bcreid-book --example html

use mdbook_driver::MDBook;
use mdbook_driver::errors::Result;

fn main() -> Result<()> {
    let book = MDBook::load(bcreid_book::repository().join("docs/book"))?;
    book.build()?;
    println!("{}", book.build_dir_for("html").join("index.html").display());
    Ok(())
}
