//! One image file to RGB bytes.
//!
//! The result is that of Pillow's `Image.open(path).convert("RGB")`: grey is repeated, palettes are looked
//! up, alpha is dropped, of 16 bits the upper 8 are kept (Pillow cuts 16-bit grey off at 255, so that all of
//! it turns white; we do not), and an orientation noted in the file's metadata is not applied. PNG agrees bit
//! for bit. JPEG decoders round differently from each other; how far this one lies from Pillow's is asserted
//! in `tests/data/decode.rs`.
//!
//! A file that ends too early is an error and never a half-grey picture: the JPEG decoder underneath fills
//! what is missing, so the end marker is looked for first.

use crate::files::{self, MIB};
use crate::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// Files beyond this are not read: no photograph is that large.
const MAX_FILE: u64 = 256 * MIB;
/// Pictures beyond this are not decoded: a small file can claim to hold gigabytes.
const MAX_PIXELS: u64 = 100_000_000;
/// Pictures with a longer side are not decoded. It is the longest a JPEG can have, and it bounds what resizing
/// takes: between its two passes a picture has its own height and the target's width.
const MAX_SIDE: u32 = 65_535;

/// A decoded picture: rows of RGB bytes from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels a row, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// `height * width * 3` bytes.
    pub pixels: Vec<u8>,
}

/// Reads and decodes a JPEG or PNG file, whatever its extension says.
///
/// # Errors
/// [`Error::Image`] or [`Error::Io`] naming the file: not there, not a regular file, empty, neither JPEG nor
/// PNG, cut short, damaged, with more than 100 million pixels or a side above 65,535.
pub fn read(path: &Path) -> Result<Rgb> {
    decode(&files::read(path, MAX_FILE)?).map_err(|detail| Error::image(path, detail))
}

/// Decodes the bytes of a JPEG or PNG file.
///
/// # Errors
/// What is wrong, on one line and without a file's name.
pub fn decode(bytes: &[u8]) -> std::result::Result<Rgb, String> {
    if bytes.is_empty() {
        return Err("an empty file".into());
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Ok(other) => return Err(format!("a {other:?} image; convert it to JPEG or PNG")),
        Err(_) => return Err("neither a JPEG nor a PNG image".into()),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err("cut short: the JPEG data has no end; copy the file again".into());
    }
    // The decoder underneath (png 0.18.1) would panic.
    if format == ImageFormat::Png && !png_palette_is_whole(bytes) {
        return Err("damaged: the PNG palette is not made of whole colours".into());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let damaged = |e: image::ImageError| format!("damaged: {}", e.to_string().replace('\n', " "));
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!("{width} x {height} pixels, and no side above {MAX_SIDE} is decoded"));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels, more than the 100 million that are decoded"));
    }
    if width == 0 || height == 0 {
        return Err(format!("{width} x {height} pixels: an image without pixels"));
    }
    let pixels = rgb(DynamicImage::from_decoder(decoder).map_err(damaged)?);
    Ok(Rgb { width: width as usize, height: height as usize, pixels })
}

fn rgb(image: DynamicImage) -> Vec<u8> {
    /// The first 1 or 3 of every `N` samples as RGB bytes.
    fn pick<const N: usize, T: Copy>(samples: &[T], byte: impl Fn(T) -> u8) -> Vec<u8> {
        let pixel = |p: &[T]| if N < 3 { [byte(p[0]); 3] } else { [byte(p[0]), byte(p[1]), byte(p[2])] };
        samples.chunks_exact(N).flat_map(pixel).collect()
    }
    let same = |v: u8| v;
    let upper = |v: u16| (v >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageRgba8(image) => pick::<4, _>(image.as_raw(), same),
        DynamicImage::ImageLuma8(image) => pick::<1, _>(image.as_raw(), same),
        DynamicImage::ImageLumaA8(image) => pick::<2, _>(image.as_raw(), same),
        DynamicImage::ImageRgb16(image) => pick::<3, _>(image.as_raw(), upper),
        DynamicImage::ImageRgba16(image) => pick::<4, _>(image.as_raw(), upper),
        DynamicImage::ImageLuma16(image) => pick::<1, _>(image.as_raw(), upper),
        DynamicImage::ImageLumaA16(image) => pick::<2, _>(image.as_raw(), upper),
        other => other.to_rgb8().into_raw(),
    }
}

/// Walks the chunks of a PNG file (its specification, section 5.3): a palette has three bytes a colour.
fn png_palette_is_whole(bytes: &[u8]) -> bool {
    const SIGNATURE: usize = 8;
    /// Length and type before a chunk's data, checksum behind it.
    const AROUND: usize = 12;
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    while let Some((&[a, b, c, d, ref kind @ ..], _)) = rest.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if kind == b"PLTE" && !length.is_multiple_of(3) {
            return false;
        }
        rest = rest.get(length.saturating_add(AROUND)..).unwrap_or_default();
    }
    true
}

/// Walks the markers of a JPEG file (ITU-T T.81, annex B) to its end-of-image marker. Segments carry their
/// length, so a thumbnail inside one is not mistaken for the picture; compressed data follows a
/// start-of-scan segment and holds 0xFF only before 0x00 or a restart marker.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
    const TEMPORARY: u8 = 0x01;
    const START: u8 = 0xD8;
    const END: u8 = 0xD9;
    let mut at = 0;
    while let Some(&[mark, code]) = bytes.get(at..at + 2) {
        match (mark, code) {
            (0xFF, END) => return true,
            (0xFF, START | TEMPORARY | 0x00) => at += 2,
            (0xFF, code) if RESTART.contains(&code) => at += 2,
            (0xFF, code) if code != 0xFF => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
            _ => at += 1,
        }
    }
    false
}
