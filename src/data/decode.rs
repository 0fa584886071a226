//! Decoding of JPEG and PNG files to RGB bytes.
//!
//! The result is that of Pillow's `Image.open(path).convert("RGB")`: grey is repeated, palettes are looked
//! up, alpha is dropped, of 16 bits the upper 8 are kept (Pillow clips 16-bit grey at 255, so that nearly all of
//! it turns white; this decoder does not), and an orientation in the file's metadata is not applied. PNG agrees
//! bit for bit. JPEG decoders differ in rounding; `tests/data/decode.rs` bounds the difference from Pillow's.
//!
//! A truncated file is an error: the JPEG library fills missing rows with grey, so this module checks for the end
//! marker first.

use crate::files::{self, MIB};
use crate::{Error, Result};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;
use std::path::Path;

/// Largest file that is read, in bytes: no photograph is larger.
const MAX_FILE: u64 = 256 * MIB;
/// Most pixels of an image that is decoded: a small file can claim to hold gigabytes.
const MAX_PIXELS: u64 = 100_000_000;
/// Longest side of an image that is decoded: the longest of a JPEG. It bounds the memory of resizing, whose
/// intermediate image has the source's height and the target's width.
const MAX_SIDE: u32 = 65_535;

/// A decoded image: rows of RGB bytes from the top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels of a row, at least 1.
    pub width: usize,
    /// Number of rows, at least 1.
    pub height: usize,
    /// RGB bytes, `height * width * 3`.
    pub pixels: Vec<u8>,
}

/// Reads and decodes a JPEG or PNG file, whatever its extension says.
///
/// # Errors
/// [`Error::Image`] or [`Error::Io`] that names the file: missing, not a regular file, empty, neither JPEG nor
/// PNG, cut short, damaged, with more than 100 million pixels or a side above 65,535.
pub fn read(path: &Path) -> Result<Rgb> {
    decode(&files::read(path, MAX_FILE)?).map_err(|detail| Error::image(path, detail))
}

/// Decodes the bytes of a JPEG or PNG file.
///
/// # Errors
/// A description of the fault: one line, without the file's name.
pub fn decode(bytes: &[u8]) -> std::result::Result<Rgb, String> {
    if bytes.is_empty() {
        return Err("the file is empty; copy the image again".into());
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Ok(other) => {
            let name = other.extensions_str().first().unwrap_or(&"foreign").to_uppercase();
            return Err(format!("a {name} image; convert it to JPEG or PNG"));
        }
        Err(_) => return Err("neither a JPEG nor a PNG image; convert it to one of them or remove it".into()),
    };
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err("cut short: the JPEG data has no end; copy the file again".into());
    }
    // The PNG library (png 0.18.1) panics on such a palette.
    if format == ImageFormat::Png && !png_palette_is_whole(bytes) {
        return Err("damaged: the length of the PNG palette is no multiple of 3; save the image again".into());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_PIXELS * 8);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let damaged = |e: image::ImageError| format!("damaged: {}", e.to_string().replace('\n', " "));
    let decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(format!(
            "{width} x {height} pixels; the longest side is {MAX_SIDE}, so resize the image"
        ));
    }
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels; the most are 100 million, so resize the image"));
    }
    if width == 0 || height == 0 {
        return Err(format!("{width} x {height} pixels: the image is empty; remove it"));
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

/// Whether the palette of a PNG file has three bytes for each colour (chunks: PNG specification, section 5.3).
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

/// Whether a JPEG file has its end-of-image marker (markers: ITU-T T.81, annex B). Segments carry their length, so
/// that the end marker of a thumbnail inside a segment is skipped; compressed data follows a start-of-scan segment
/// and holds 0xFF only before 0x00 or a restart marker.
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
