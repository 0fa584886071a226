//! Draws the figures of the book anew.

use bcreid_book::{figures, pages_folder};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = pages_folder().join("figures");
    for figure in figures::all()? {
        let path = folder.join(figure.name).with_extension("svg");
        std::fs::write(&path, figure.svg)?;
        println!("{}", path.display());
    }
    Ok(())
}
