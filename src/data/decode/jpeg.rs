//! JPEG files (ITU-T T.81): a check of the markers, then the decoder that the `image` crate uses too. It is called without
//! that crate, which reads the headers of a file three times.

use super::{Rgb, Size, damaged, memory};
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Side of the largest minimum coded unit: sampling factors of up to 4 times blocks of 8 pixels.
const UNIT: u64 = 32;

/// Decodes the bytes of a JPEG file.
pub fn decode(bytes: &[u8]) -> Result<(Rgb, memory::Reserved), String> {
    let layout = Layout::of(bytes);
    if !layout.has_end {
        return Err("cut short: the JPEG data has no end; copy the file again".into());
    }
    // The limits on sides and memory are those of this module.
    let options =
        DecoderOptions::default().set_strict_mode(false).set_max_width(usize::MAX).set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().expect("the headers are read");
    let size = Size::new(side(width), side(height))?;
    // Damaged EXIF data says nothing about the orientation.
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let needed = layout.bytes_needed(size.width, size.height) + 2 * bytes.len() as u64;
    let reserved = size.reserve(needed, orientation)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let colours = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let mut pixels = vec![0; width * height * colours.num_components()];
    decoder.decode_into(&mut pixels).map_err(damaged)?;
    if is_grey {
        pixels = pixels.into_iter().flat_map(|v| [v; 3]).collect();
    }
    Ok((size.image(pixels, orientation), reserved))
}

/// A side as [`Size`] takes it, which refuses what does not fit.
fn side(pixels: usize) -> u32 {
    u32::try_from(pixels).unwrap_or(u32::MAX)
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
                // Compressed data: on to the next byte that can begin a marker.
                _ => at += 1 + bytes[at + 1..].iter().position(|&byte| byte == 0xFF).unwrap_or(bytes.len()),
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
