//! Pictures to the network's size: bilinear with antialiasing, as Pillow's `Image.resize((w, h), BILINEAR)`
//! and so torchvision's on a Pillow image.
//!
//! The filter is a triangle that widens with the ratio when an image shrinks, so that every source pixel
//! counts. (The bilinear of OpenCV and of `F.interpolate` skips pixels when it shrinks.) Aspect is not kept:
//! re-identification squeezes every box to one size. `tests/data/resize.rs` asserts that the bytes are Pillow's.

use super::decode::Rgb;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};

/// Resizes pictures, keeping its tables between pictures.
#[derive(Default)]
pub struct Resizer {
    inner: fast_image_resize::Resizer,
}

impl Resizer {
    /// Writes `picture` as `height * width * 3` RGB bytes to `out`.
    ///
    /// # Panics
    /// If `out` has another length, or `height` or `width` is 0.
    pub fn resize(&mut self, picture: &Rgb, height: usize, width: usize, out: &mut [u8]) {
        assert_eq!(out.len(), height * width * 3);
        if (picture.height, picture.width) == (height, width) {
            out.copy_from_slice(&picture.pixels);
            return;
        }
        let pixel = PixelType::U8x3;
        let source = ImageRef::new(picture.width as u32, picture.height as u32, &picture.pixels, pixel)
            .expect("a decoded picture has the bytes its size says");
        let mut target = Image::from_slice_u8(width as u32, height as u32, out, pixel)
            .expect("the length was checked above");
        let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.inner.resize(&source, &mut target, &triangle).expect("both sides have the same pixel type");
    }
}
