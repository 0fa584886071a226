//! JPEG files (ITU-T T.81): a check of the markers, then the decoder of the `image` crate.

use super::{Rgb, Size, damaged, memory};
use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder};
use std::io::Cursor;

/// Side of the largest minimum coded unit: sampling factors of up to 4 times blocks of 8 pixels.
const UNIT: u64 = 32;

/// Decodes the bytes of a JPEG file.
pub fn decode(bytes: &[u8]) -> Result<(Rgb, memory::Reserved), String> {
    let layout = Layout::of(bytes);
    if !layout.has_end {
        return Err("cut short: the JPEG data has no end; copy the file again".into());
    }
    let mut decoder = JpegDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height)?;
    // Damaged EXIF data says nothing about the orientation.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let reserved = size.reserve(layout.bytes_needed(width, height) + 2 * bytes.len() as u64, orientation)?;
    let pixels = match DynamicImage::from_decoder(decoder).map_err(damaged)? {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => image.into_raw().into_iter().flat_map(|v| [v; 3]).collect(),
        other => other.into_rgb8().into_raw(),
    };
    Ok((size.image(pixels, orientation), reserved))
}

/// The layout of a file by its markers (annex B).
#[derive(Debug, Default)]
struct Layout {
    /// Number of colour components.
    components: u64,
    /// Whether the decoder holds the coefficients of the whole picture: a progressive file, or one whose first scan
    /// lacks components.
    is_staged: bool,
    /// Whether the file has its end-of-image marker.
    has_end: bool,
}

impl Layout {
    /// Segments carry their length, so that the markers of a thumbnail inside a segment are skipped; compressed data
    /// follows a start-of-scan segment and holds 0xFF only before 0x00 or a restart marker.
    fn of(bytes: &[u8]) -> Self {
        const RESTART: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
        const TEMPORARY: u8 = 0x01;
        const START: u8 = 0xD8;
        const END: u8 = 0xD9;
        const BASELINE: std::ops::RangeInclusive<u8> = 0xC0..=0xC1;
        const PROGRESSIVE: u8 = 0xC2;
        const SCAN: u8 = 0xDA;
        /// Number of components in a frame header, behind length, precision and size.
        const FRAME_COMPONENTS: usize = 7;
        /// Number of components in a scan header, behind its length.
        const SCAN_COMPONENTS: usize = 2;
        let mut layout = Layout::default();
        let mut at = 0;
        while let Some(&[mark, code]) = bytes.get(at..at + 2) {
            let segment = bytes.get(at + 2..).unwrap_or_default();
            let number = |at: usize| segment.get(at).map_or(0, |number| u64::from(*number));
            match (mark, code) {
                (0xFF, END) => {
                    layout.has_end = true;
                    return layout;
                }
                (0xFF, START | TEMPORARY | 0x00) => at += 2,
                (0xFF, code) if RESTART.contains(&code) => at += 2,
                (0xFF, code) if code != 0xFF => match segment {
                    &[high, low, ..] => {
                        match code {
                            PROGRESSIVE => {
                                (layout.components, layout.is_staged) = (number(FRAME_COMPONENTS), true);
                            }
                            code if BASELINE.contains(&code) => layout.components = number(FRAME_COMPONENTS),
                            SCAN => layout.is_staged |= number(SCAN_COMPONENTS) < layout.components,
                            _ => {}
                        }
                        at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
                    }
                    _ => return layout,
                },
                _ => at += 1,
            }
        }
        layout
    }

    /// Upper bound of the decoder's bytes: the pixels, of grey ones a copy, and 16 bits for each coefficient of a staged
    /// file.
    fn bytes_needed(&self, width: u32, height: u32) -> u64 {
        let [width, height] = [width, height].map(|side| u64::from(side).next_multiple_of(UNIT));
        let grey = u64::from(self.components == 1);
        let coefficients = if self.is_staged { 2 * self.components } else { 0 };
        width * height * (3 + grey + coefficients)
    }
}
