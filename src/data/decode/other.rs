//! BMP, WebP, TIFF and GIF files, by the decoders of the `image` crate.

use super::{Rgb, Size, damaged, memory};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Decodes the bytes of a file of `format`; of several pictures the first.
pub fn decode(bytes: &[u8], format: ImageFormat) -> Result<(Rgb, memory::Reserved), String> {
    if format == ImageFormat::WebP && !riff_is_whole(bytes) {
        return Err("cut short: the WebP data has no end; copy the file again".into());
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(memory::LIMIT);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let size = Size::new(width, height)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    // The decoder's own copy, the samples, and their RGB bytes.
    let pixel = 2 * u64::from(decoder.color_type().bytes_per_pixel()) + 3;
    let reserved = size.reserve(pixel * size.pixels() + bytes.len() as u64, orientation)?;
    let pixels = rgb(DynamicImage::from_decoder(decoder).map_err(damaged)?);
    Ok((size.image(pixels, orientation), reserved))
}

/// Whether a file is as long as its RIFF header says: the orientation stands behind the picture.
fn riff_is_whole(bytes: &[u8]) -> bool {
    /// Bytes in front of those that the header counts.
    const IN_FRONT: u64 = 8;
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| u64::from(length) + IN_FRONT <= bytes.len() as u64)
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
        other => other.into_rgb8().into_raw(),
    }
}
