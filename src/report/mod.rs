//! Looking at results: figures of runs, and one page that compares them. Needs the feature `report`.
//!
//! From the numbers to the page: [`run`] reads what training wrote and [`evaluations`] what evaluations kept; [`charts`]
//! makes figures of it ([`figure`]), [`draw`] makes SVG of them, which [`png`] can render. [`page`] puts all of it on
//! one page, with ranked lists and thresholds.

pub mod canvas;
pub mod charts;
pub mod downsample;
pub mod draw;
pub mod evaluations;
pub mod figure;
pub mod page;
pub mod palette;
pub mod png;
mod ranked;
pub mod run;
mod thresholds;
mod thumbnail;
mod view_models;

use crate::files::write_atomically;
use crate::{Error, Result};
use figure::Figure;
use std::path::Path;

/// How a drawing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Vectors.
    Svg,
    /// Pixels, two for each of the drawing's.
    Png,
}

impl Format {
    /// By a file's name.
    ///
    /// # Errors
    /// If it ends in neither `.svg` nor `.png`.
    pub fn of(file: &Path) -> Result<Self> {
        let extension = file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("svg") => Ok(Format::Svg),
            Some("png") => Ok(Format::Png),
            _ => Err(Error::Run(format!("{}: a figure is written as .svg or .png", file.display()))),
        }
    }
}

/// Draws a figure into a file, whole or not at all; returns how many bytes.
///
/// # Errors
/// A name that ends in neither `.svg` nor `.png`; what the file system says.
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
