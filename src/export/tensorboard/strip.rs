//! Image of a ranked list: the query, a gap, and the nearest images in their order.
//!
//! A match has a green frame, another person has red bars above and below, and an image that the protocol drops
//! (junk, or the person under the query's own camera) has neither.

use crate::data::decode;
use crate::data::resize::Resizer;
use crate::eval::image_folders::ImageFolders;
use crate::eval::lists::{RankedList, Verdict};
use crate::weights::Features;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{Rgb, RgbImage};
use rayon::prelude::*;
use std::io::Cursor;
use std::path::Path;

/// Height of each image of the list, in pixels.
const HEIGHT: u32 = 128;
/// Width of each image of the list, in pixels.
const WIDTH: u32 = 64;
/// Width of frames and of the space between images, in pixels.
const FRAME: u32 = 4;
/// Width of the space between the query and the list, in pixels.
const GAP: u32 = 16;

const PAPER: Rgb<u8> = Rgb([0xff, 0xff, 0xff]);
const MISSING: Rgb<u8> = Rgb([0xdd, 0xe0, 0xe4]);
const CORRECT: Rgb<u8> = Rgb([0x2f, 0x8f, 0x4e]);
const WRONG: Rgb<u8> = Rgb([0xb8, 0x3b, 0x2e]);

/// Image of a ranked list.
#[derive(Debug)]
pub struct Strip {
    /// Bytes of a PNG file.
    pub png: Vec<u8>,
    /// Width and height in pixels.
    pub size: [u32; 2],
}

/// The paths of a list's images: the query's, then those of the entries.
pub fn paths<'a>(query: &'a Features, gallery: &'a Features, list: &RankedList) -> Vec<Option<&'a str>> {
    let path = |features: &'a Features, row: usize| features.paths().get(row).map(String::as_str);
    let entries = list.entries.iter().map(|entry| path(gallery, entry.index));
    std::iter::once(path(query, list.query)).chain(entries).collect()
}

/// Draws a list of images in `folders`; `None` if none of them can be read.
pub fn draw(paths: &[Option<&str>], list: &RankedList, folders: &ImageFolders) -> Option<Strip> {
    let read = |path: &Option<&str>| read_resized(&folders.find(Path::new((*path)?)).ok()?.0);
    let images: Vec<Option<RgbImage>> = paths.par_iter().map(read).collect();
    if images.iter().all(Option::is_none) {
        return None;
    }
    let (cell_width, cell_height) = (WIDTH + 3 * FRAME, HEIGHT + 2 * FRAME);
    let width = images.len() as u32 * cell_width + GAP;
    let mut strip = RgbImage::from_pixel(width, cell_height, PAPER);
    let verdicts = std::iter::once(None).chain(list.entries.iter().map(|entry| Some(entry.verdict)));
    for (place, (image, verdict)) in images.iter().zip(verdicts).enumerate() {
        let left = place as u32 * cell_width + if place > 0 { GAP } else { 0 };
        let (frame, around) = match verdict {
            Some(Verdict::Correct) => (CORRECT, true),
            Some(Verdict::Wrong) => (WRONG, false),
            _ => (PAPER, false),
        };
        fill(&mut strip, [left, 0], [WIDTH + 2 * FRAME, cell_height], frame);
        if !around {
            fill(&mut strip, [left, FRAME], [WIDTH + 2 * FRAME, HEIGHT], PAPER);
        }
        match image {
            Some(image) => {
                image::imageops::replace(&mut strip, image, i64::from(left + FRAME), i64::from(FRAME));
            }
            None => fill(&mut strip, [left + FRAME, FRAME], [WIDTH, HEIGHT], MISSING),
        }
    }
    let mut png = Cursor::new(Vec::new());
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Default, FilterType::Adaptive);
    strip.write_with_encoder(encoder).ok()?;
    Some(Strip { png: png.into_inner(), size: [strip.width(), strip.height()] })
}

/// Reads an image and resizes it to [`HEIGHT`] by [`WIDTH`].
fn read_resized(path: &Path) -> Option<RgbImage> {
    let picture = decode::read(path).ok()?;
    let mut pixels = vec![0; (HEIGHT * WIDTH * 3) as usize];
    Resizer::default().resize(&picture, HEIGHT as usize, WIDTH as usize, &mut pixels);
    RgbImage::from_raw(WIDTH, HEIGHT, pixels)
}

fn fill(image: &mut RgbImage, [left, top]: [u32; 2], [width, height]: [u32; 2], colour: Rgb<u8>) {
    for y in top..top + height {
        (left..left + width).for_each(|x| image.put_pixel(x, y, colour));
    }
}
