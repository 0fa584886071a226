//! Decoding of image files to RGB bytes: JPEG, PNG, BMP, WebP, TIFF, and the first picture of a GIF or an animation.
//!
//! The result is that of Pillow's `ImageOps.exif_transpose(Image.open(path)).convert("RGB")`:
//!
//! - the picture is turned upright by the orientation in its EXIF data (JPEG, PNG, WebP, TIFF);
//! - grey is repeated, palettes are looked up, CMYK is converted without a profile; colour profiles are ignored;
//! - alpha is dropped: a transparent pixel has the colour that the file stores;
//! - of 16 bits the upper 8 are kept (Pillow clips 16-bit grey at 255, so that nearly all of it turns white; this decoder
//!   does not).
//!
//! The formats without loss agree bit for bit. JPEG decoders differ in rounding; `tests/data/decode.rs` bounds the
//! difference from Pillow's.
//!
//! A truncated file is an error: the JPEG library fills missing rows with grey, so this module checks for the end
//! marker first.

mod jpeg;
mod memory;
mod other;
mod png;

use crate::files::{self, MIB};
use crate::{Error, Result};
use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat, RgbImage};
use std::ops::Deref;
use std::path::Path;

/// Largest file that is read, in bytes: no photograph is larger.
pub(super) const MAX_FILE: u64 = 64 * MIB;
/// Longest side of an image that is decoded: the longest of a JPEG. It bounds the memory of resizing, whose
/// intermediate image has the source's height and the target's width.
const MAX_SIDE: u32 = 65_535;

/// Extensions of the names of image files, in lower case.
pub const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jfif", "png", "bmp", "webp", "tif", "tiff", "gif"];

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

impl Rgb {
    /// Checks that the sides are those of an image that could have been decoded, and that the pixels fill them.
    ///
    /// # Errors
    /// A description of the fault: one line.
    pub fn check(&self) -> std::result::Result<(), String> {
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let size = Size::new(side(self.width), side(self.height))?;
        if self.pixels.len() as u64 != 3 * size.pixels() {
            let bytes = self.pixels.len();
            return Err(format!(
                "{} x {} pixels, but {bytes} bytes; give RGB bytes",
                self.width, self.height
            ));
        }
        Ok(())
    }
}

/// An image in the memory that all decoders share. Drop it before the next image is read: other threads wait for its
/// memory, and a thread that holds an image and waits for another may wait for ever.
#[derive(Debug)]
pub struct Decoded {
    image: Rgb,
    _reserved: memory::Reserved,
}

impl Deref for Decoded {
    type Target = Rgb;

    fn deref(&self) -> &Rgb {
        &self.image
    }
}

/// Reads and decodes an image file, whatever its extension says. All decoders of the process together use at most
/// 192 MiB; further ones wait.
///
/// # Errors
/// [`Error::Image`] or [`Error::Io`] that names the file: missing, not a regular file, empty, of another format, cut
/// short, damaged, larger than 64 MiB, with a side above 65,535 pixels, or with more pixels than the memory holds (67
/// million; 20 million of progressive JPEG files and of formats other than JPEG and PNG).
pub fn read(path: &Path) -> Result<Decoded> {
    let bytes = files::read(path, MAX_FILE)?;
    let (image, reserved) = decode_reserved(&bytes).map_err(|detail| Error::image(path, detail))?;
    Ok(Decoded { image, _reserved: reserved })
}

/// Decodes the bytes of an image file.
///
/// # Errors
/// A description of the fault: one line, without the file's name.
pub fn decode(bytes: &[u8]) -> std::result::Result<Rgb, String> {
    decode_reserved(bytes).map(|(image, _)| image)
}

fn decode_reserved(bytes: &[u8]) -> std::result::Result<(Rgb, memory::Reserved), String> {
    if bytes.is_empty() {
        return Err("the file is empty; copy the image again".into());
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes),
        Ok(ImageFormat::Png) => png::decode(bytes),
        Ok(format @ (ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Tiff | ImageFormat::WebP)) => {
            other::decode(bytes, format)
        }
        Ok(foreign) => {
            let name = foreign.extensions_str().first().unwrap_or(&"foreign").to_uppercase();
            Err(format!("an image in the format {name}; convert it to JPEG or PNG"))
        }
        Err(_) => {
            Err("not a JPEG, PNG, BMP, WebP, TIFF or GIF image; convert it to JPEG or PNG, or remove it"
                .into())
        }
    }
}

/// The size of an image in pixels, as its header states it.
#[derive(Clone, Copy, Debug)]
struct Size {
    width: u32,
    height: u32,
}

impl Size {
    fn new(width: u32, height: u32) -> std::result::Result<Self, String> {
        if width > MAX_SIDE || height > MAX_SIDE {
            return Err(format!(
                "{width} x {height} pixels; the longest side is {MAX_SIDE}, so resize the image"
            ));
        }
        if width == 0 || height == 0 {
            return Err(format!("{width} x {height} pixels: the image is empty; remove it"));
        }
        Ok(Size { width, height })
    }

    fn pixels(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Reserves the bytes that decoding takes, and those of the turned copy if the picture is to be turned.
    fn reserve(self, bytes: u64, orientation: Orientation) -> std::result::Result<memory::Reserved, String> {
        let Size { width, height } = self;
        let bytes = if orientation == Orientation::NoTransforms { bytes } else { bytes + 3 * self.pixels() };
        memory::reserve(bytes).map_err(|why| format!("{width} x {height} pixels: {why}; resize the image"))
    }

    /// The upright image of decoded RGB bytes.
    fn image(self, pixels: Vec<u8>, orientation: Orientation) -> Rgb {
        let image = RgbImage::from_raw(self.width, self.height, pixels).expect("three bytes for each pixel");
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        Rgb { width, height, pixels: image.into_rgb8().into_raw() }
    }
}

fn damaged(error: impl ToString) -> String {
    format!("damaged: {}", error.to_string().replace('\n', " "))
}
