//! The nearest images as a PNG file: frames and words are drawn as SVG, then the images are laid over it.

use super::super::canvas::{FONT, escape, text_width};
use super::super::draw::fit;
use super::super::maps::MAPS;
use super::super::palette::{Colour, hex};
use super::super::png;
use super::{BOX, Ranked, Shown, explanation};
use crate::Result;
use crate::data::decode::Rgb;
use image::RgbImage;
use std::fmt::Write;

/// Space around the drawing, in pixels.
const MARGIN: f64 = 20.0;
/// Width and height of an image in the drawing; the file has twice as many pixels.
const IMAGE: [f64; 2] = [BOX[0] as f64 / 2.0, BOX[1] as f64 / 2.0];
/// Distance from the left of an image to the left of the next one.
const STEP: f64 = IMAGE[0] + 14.0;
/// Space between the query and its list.
const GAP: f64 = 26.0;
/// Most images in a line.
const IN_LINE: usize = 12;
/// Font size of headings.
const HEADING: f64 = 12.5;
/// Font size of all other text.
const SMALL: f64 = 11.0;
/// Height of a line of small text.
const LINE: f64 = 15.0;

/// A drawing: SVG, and the images that are laid over it, each with its place.
#[derive(Default)]
struct Sheet<'a> {
    svg: String,
    images: Vec<(f64, f64, &'a Rgb)>,
}

impl<'a> Sheet<'a> {
    fn text(&mut self, x: f64, y: f64, size: f64, colour: &str, text: &str) {
        let text = escape(text);
        let _ = writeln!(
            self.svg,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{colour}\">{text}</text>"
        );
    }

    fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: &str) {
        let _ = writeln!(
            self.svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"/>"
        );
    }

    /// An image with its maps below, or the reason why there is none; returns the height of all.
    fn image(&mut self, x: f64, y: f64, shown: &'a Shown, rows: usize) {
        match &shown.picture {
            Ok(picture) => self.images.push((x, y, picture)),
            Err(why) => {
                self.rect([x, y, IMAGE[0], IMAGE[1]], &colour(Colour::Grid));
                for (line, words) in wrapped(why, IMAGE[0] - 8.0).iter().enumerate() {
                    let down = y + IMAGE[1] / 2.0 + (line as f64 - 1.0) * 13.0;
                    self.text(x + 4.0, down, SMALL, &colour(Colour::Muted), words);
                }
            }
        }
        for (row, map) in shown.maps.iter().enumerate().take(rows) {
            self.images.push((x, y + (row + 1) as f64 * (IMAGE[1] + 4.0), map));
        }
    }
}

fn colour(colour: Colour) -> String {
    hex(colour.rgb())
}

/// The lines of a text that are at most `width` pixels wide; a longer word is cut.
fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), SMALL) <= width => {
                *line += &format!(" {word}")
            }
            _ => lines.push(fit::one(word, SMALL, width)),
        }
    }
    lines
}

/// The picture of all lists as the bytes of a PNG file; `threshold` as in [`super::ranked`].
///
/// # Errors
/// A side longer than 16,384 pixels.
pub fn picture(lists: &[Ranked], threshold: Option<f64>) -> Result<Vec<u8>> {
    let longest = lists.iter().map(|list| list.entries.len()).max().unwrap_or(0).clamp(4, IN_LINE);
    let width = 2.0 * MARGIN + STEP + GAP + longest as f64 * STEP;
    let maps =
        lists.iter().flat_map(|list| list.entries.iter().map(|entry| &entry.shown).chain([&list.query]));
    let rows = maps.map(|shown| shown.maps.len()).max().unwrap_or(0);
    let mut sheet = Sheet::default();
    let mut y = MARGIN;
    for list in lists {
        y = draw(&mut sheet, list, y, width, rows);
    }
    for line in wrapped(&explanation(lists, threshold), width - 2.0 * MARGIN) {
        y += LINE;
        sheet.text(MARGIN, y, SMALL, &colour(Colour::Muted), &line);
    }
    let height = (y + MARGIN).ceil();
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"{FONT}\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n{}</svg>",
        colour(Colour::Paper),
        sheet.svg
    );
    let mut pixels = png::pixels(&svg)?;
    for (x, y, picture) in sheet.images {
        lay(&mut pixels, x, y, picture);
    }
    png::encode(&pixels)
}

/// Lays an image into its box, centred, with a thin frame around the box's content.
fn lay(onto: &mut RgbImage, x: f64, y: f64, picture: &Rgb) {
    let at = |place: f64| (place * f64::from(png::SCALE)).round() as i64;
    let inside = |of: usize, own: usize| (of.saturating_sub(own) / 2) as i64;
    let (left, top) = (at(x) + inside(BOX[0], picture.width), at(y) + inside(BOX[1], picture.height));
    let image = RgbImage::from_raw(picture.width as u32, picture.height as u32, picture.pixels.clone());
    image::imageops::replace(onto, &image.expect("three bytes a pixel"), left, top);
}

/// Draws a list from `y` on; returns the place below it.
fn draw<'a>(sheet: &mut Sheet<'a>, list: &'a Ranked, mut y: f64, width: f64, rows: usize) -> f64 {
    let (ink, muted) = (colour(Colour::Ink), colour(Colour::Muted));
    let (good, bad) = (colour(Colour::Intra), colour(Colour::InterMin));
    let tall = IMAGE[1] + rows as f64 * (IMAGE[1] + 4.0);
    y += HEADING;
    sheet.text(MARGIN, y, HEADING, &ink, &fit::one(&list.heading(), HEADING, width - 2.0 * MARGIN));
    y += 14.0;
    sheet.image(MARGIN, y, &list.query, rows);
    sheet.text(MARGIN, y + tall + LINE, SMALL, &ink, "query");
    if rows > 0 {
        for (line, (name, _)) in MAPS.iter().enumerate() {
            sheet.text(
                MARGIN,
                y + tall + (line as f64 + 2.0) * LINE,
                SMALL,
                &muted,
                &format!("row {}: {name}", line + 2),
            );
        }
    }
    let limit = list.accepted();
    for (line, entries) in list.entries.chunks(IN_LINE).enumerate() {
        for (column, entry) in entries.iter().enumerate() {
            let x = MARGIN + STEP + GAP + column as f64 * STEP;
            // A solid bar for the query's person, a broken one for another: not by colour alone.
            match entry.is_match {
                Some(true) => sheet.rect([x, y - 6.0, IMAGE[0], 4.0], &good),
                Some(false) => {
                    (0..6).for_each(|part| sheet.rect([x + f64::from(part) * 12.4, y - 6.0, 8.0, 4.0], &bad))
                }
                None => {}
            }
            sheet.image(x, y, &entry.shown, rows);
            if limit == Some(line * IN_LINE + column) {
                let (x, to) = (x - 7.0, y + tall + 4.0 * LINE);
                let _ = writeln!(
                    sheet.svg,
                    "<path d=\"M{x} {}V{to}\" stroke=\"{ink}\" stroke-width=\"1.5\" stroke-dasharray=\"5 4\"/>",
                    y - 8.0
                );
            }
            let words = [entry.rank(), entry.distance(), entry.person(), entry.camera()];
            for (number, words) in words.iter().enumerate() {
                let colour = if number == 0 { &ink } else { &muted };
                let words = fit::one(words, SMALL, STEP - 4.0);
                sheet.text(x, y + tall + (number as f64 + 1.0) * LINE, SMALL, colour, &words);
            }
        }
        y += tall + 4.0 * LINE + 18.0;
    }
    // A list without an image is as high as its query.
    if list.entries.is_empty() { y + tall + 4.0 * LINE + 18.0 } else { y }
}
