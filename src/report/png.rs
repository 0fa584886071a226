//! Rendering of SVG drawings as PNG, with a font that is part of this program.

use crate::data::decode::Rgb;
use crate::{Error, Result};
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::io::Cursor;
use std::sync::Arc;

/// Pixels of the PNG for each pixel of the drawing.
pub const SCALE: f32 = 2.0;
/// Largest side of a PNG, in pixels.
const MAX_SIDE: f32 = 16_384.0;

/// Renders an SVG drawing at [`SCALE`] times its size; returns the bytes of the PNG file.
///
/// # Errors
/// If `svg` is not valid SVG, or a side would be longer than 16,384 pixels.
pub fn render(svg: &str) -> Result<Vec<u8>> {
    encode(&pixels(svg)?)
}

fn failed(why: String) -> Error {
    Error::Run(format!("the figure cannot be rendered as PNG: {why}"))
}

/// Renders an SVG drawing with an opaque background at [`SCALE`] times its size.
///
/// # Errors
/// As [`render`].
pub(super) fn pixels(svg: &str) -> Result<RgbImage> {
    let mut options = Options::default();
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = Tree::from_str(svg, &options).map_err(|e| failed(e.to_string()))?;
    let size = tree.size();
    let [width, height] = [size.width() * SCALE, size.height() * SCALE].map(f32::ceil);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(failed(format!(
            "it would have {width} x {height} pixels, and a side has at most {MAX_SIDE}; write a file of another \
             format, or show less"
        )));
    }
    let (width, height) = (width as u32, height as u32);
    let mut picture = Pixmap::new(width, height)
        .ok_or_else(|| failed(format!("it would have {width} x {height} pixels")))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    let rgba: Vec<u8> = picture
        .pixels()
        .iter()
        .flat_map(|pixel| {
            let plain = pixel.demultiply();
            [plain.red(), plain.green(), plain.blue(), plain.alpha()]
        })
        .collect();
    // Drawings have an opaque background, so the alpha channel is dropped.
    let picture = image::RgbaImage::from_raw(width, height, rgba).expect("four bytes a pixel");
    Ok(image::DynamicImage::ImageRgba8(picture).into_rgb8())
}

/// The bytes of the PNG file of decoded pixels.
///
/// # Errors
/// An error of the encoder.
///
/// # Panics
/// If the pixels do not fill the picture.
pub fn encode_rgb(picture: Rgb) -> Result<Vec<u8>> {
    let Rgb { width, height, pixels } = picture;
    let picture = RgbImage::from_raw(width as u32, height as u32, pixels).expect("three bytes a pixel");
    encode(&picture)
}

/// The bytes of a picture's PNG file.
///
/// # Errors
/// An error of the encoder.
pub(super) fn encode(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut png = Cursor::new(Vec::new());
    let encoder = PngEncoder::new_with_quality(&mut png, CompressionType::Best, FilterType::Adaptive);
    picture.write_with_encoder(encoder).map_err(|e| failed(e.to_string()))?;
    Ok(png.into_inner())
}
