//! Reports: figures of runs, and an HTML page that compares runs. Needs the feature `report`.
//!
//! [`run`] reads the files of training and [`evaluations`] the stored evaluations; [`charts`] makes figures
//! ([`figure`]), [`draw`] draws them as SVG, and [`png`] renders SVG. [`page`] puts figures, tables, ranked lists and
//! thresholds on one page. [`neighbours`] shows the nearest images of queries, with activation maps ([`heat`]).

pub mod canvas;
pub mod charts;
pub mod downsample;
pub mod draw;
pub mod evaluations;
pub mod figure;
pub mod heat;
pub mod maps;
pub mod neighbours;
pub mod page;
pub mod palette;
pub mod png;
mod provenance;
mod ranked;
pub mod run;
mod summary;
mod thresholds;
mod thumbnail;
pub mod tsne;
mod view_models;

use crate::files::write_atomically;
use crate::{Error, Result};
use figure::Figure;
use std::path::Path;

/// File format of a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Vector graphics.
    Svg,
    /// Pixels, at twice the drawing's size.
    Png,
}

impl Format {
    /// The format of a file, by the ending of its name.
    ///
    /// # Errors
    /// If it ends in neither `.svg` nor `.png`.
    pub fn of(file: &Path) -> Result<Self> {
        let extension = file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            _ => Err(Error::Run(format!("{}: the name of a figure ends in .svg or .png", file.display()))),
        }
    }
}

/// Draws a figure into a file, whole or not at all; returns the file's size in bytes.
///
/// # Errors
/// A name that ends in neither `.svg` nor `.png`; an error of the file system.
pub fn write_figure(figure: &Figure, file: &Path) -> Result<usize> {
    let format = Format::of(file)?;
    let svg = draw::sheet(figure)?;
    let bytes = match format {
        Format::Svg => svg.into_bytes(),
        Format::Png => png::render(&svg)?,
    };
    write_atomically(file, |writer| writer.write_all(&bytes))?;
    Ok(bytes.len())
}
