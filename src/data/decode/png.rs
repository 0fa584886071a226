//! PNG files: decoding row by row into RGB bytes, so that 16 bits and alpha take no memory beyond a row.

use super::{Rgb, Size, damaged, memory};
use ::png::{BitDepth, Decoder, InterlaceInfo, Limits, Transformations, expand_interlaced_row};
use image::metadata::Orientation;
use std::io::Cursor;

/// Most bytes of the decoder's rows and of a chunk that it keeps.
const MAX_CHUNK: usize = 16 << 20;
/// Bits of a pixel.
const RGB_BITS: u8 = 24;

/// Decodes the bytes of a PNG file.
pub fn decode(bytes: &[u8]) -> Result<(Rgb, memory::Reserved), String> {
    // The library (png 0.18.1) panics on such a palette.
    if !palette_is_whole(bytes) {
        return Err("damaged: the length of the PNG palette is no multiple of 3; save the image again".into());
    }
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_CHUNK });
    // Palettes and fewer than 8 bits become 8 bits; of 16 bits the upper 8 stay.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    let size = Size::new(width, height)?;
    let mut reader = decoder.read_info().map_err(damaged)?;
    let exif = reader.info().exif_metadata.as_ref().and_then(|exif| Orientation::from_exif_chunk(exif));
    let orientation = exif.unwrap_or(Orientation::NoTransforms);
    let reserved = size.reserve(3 * size.pixels() + (MAX_CHUNK + bytes.len()) as u64, orientation)?;
    let (color, depth) = reader.output_color_type();
    assert_eq!(depth, BitDepth::Eight, "by the transformations");

    let stride = 3 * width as usize;
    let mut pixels = vec![0; stride * height as usize];
    let mut rgb = vec![0; stride];
    let mut next_line = 0;
    while let Some(row) = reader.next_interlaced_row().map_err(damaged)? {
        let samples = row.data();
        let rgb = &mut rgb[..samples.len() / color.samples() * 3];
        match color.samples() {
            1 => narrow::<1>(samples, rgb),
            2 => narrow::<2>(samples, rgb),
            3 => rgb.copy_from_slice(samples),
            _ => narrow::<4>(samples, rgb),
        }
        match row.interlace() {
            InterlaceInfo::Null(_) => {
                let line = pixels.get_mut(next_line * stride..).and_then(|rest| rest.get_mut(..rgb.len()));
                line.ok_or("damaged: more rows than the header says")?.copy_from_slice(rgb);
                next_line += 1;
            }
            InterlaceInfo::Adam7(pass) => expand_interlaced_row(&mut pixels, stride, rgb, pass, RGB_BITS),
        }
    }
    Ok((size.image(pixels, orientation), reserved))
}

/// The first 1 or 3 of every `N` samples as RGB bytes: grey is repeated, alpha is dropped.
fn narrow<const N: usize>(samples: &[u8], rgb: &mut [u8]) {
    for (from, to) in samples.chunks_exact(N).zip(rgb.chunks_exact_mut(3)) {
        to.copy_from_slice(&if N < 3 { [from[0]; 3] } else { [from[0], from[1], from[2]] });
    }
}

/// Whether the palette has three bytes for each colour (chunks: PNG specification, section 5.3).
fn palette_is_whole(bytes: &[u8]) -> bool {
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
