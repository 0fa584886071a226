//! Resizing of images: bilinear with antialiasing, as Pillow's `Image.resize((w, h), BILINEAR)`, which torchvision
//! uses for Pillow images.
//!
//! The filter is a triangle that widens with the ratio when an image shrinks, so that every source pixel
//! contributes. (The bilinear filter of OpenCV and of `F.interpolate` skips pixels when it shrinks.) The aspect ratio
//! is not kept: in re-identification every box has the same size. The bytes equal Pillow's where an image is
//! enlarged; where it is shrunk, some differ by one level (`tests/data/resize.rs`; docs/results.md has the shares).

use super::decode::Rgb;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};

/// A resizer of images that keeps its tables and its buffer from image to image.
#[derive(Default)]
pub struct Resizer {
    inner: fast_image_resize::Resizer,
    /// The image between the two passes: the source's height and the target's width.
    narrowed: Vec<u8>,
}

impl Resizer {
    /// Writes `picture` as `height * width * 3` RGB bytes to `out`.
    ///
    /// The buffer between the passes holds `picture.height * width * 3` bytes. With the longest side that
    /// [`super::decode`] allows, these are 25 MB at a width of 128 and 805 MB at 4096, the largest width of an input:
    /// no more than the decoder's limit.
    ///
    /// # Panics
    /// If `out` has another length, or `height` or `width` is 0.
    pub fn resize(&mut self, picture: &Rgb, height: usize, width: usize, out: &mut [u8]) {
        assert_eq!(out.len(), height * width * 3);
        // Pillow resizes rows before columns, and the library columns before rows. The image between the passes is
        // rounded to bytes, so the library's order would change a sixth of all bytes by one level.
        let mut narrowed = std::mem::take(&mut self.narrowed);
        narrowed.resize(picture.height * width * 3, 0);
        self.pass(&picture.pixels, [picture.height, picture.width], &mut narrowed, [picture.height, width]);
        self.pass(&narrowed, [picture.height, width], out, [height, width]);
        self.narrowed = narrowed;
    }

    /// Resizes between two `[height, width]` that differ in at most one of both.
    fn pass(&mut self, from: &[u8], from_size: [usize; 2], to: &mut [u8], to_size: [usize; 2]) {
        if from_size == to_size {
            to.copy_from_slice(from);
            return;
        }
        let sides = |[height, width]: [usize; 2]| (width as u32, height as u32);
        let ((from_width, from_height), (to_width, to_height)) = (sides(from_size), sides(to_size));
        let source = ImageRef::new(from_width, from_height, from, PixelType::U8x3)
            .expect("the source's length is that of its size");
        let mut target = Image::from_slice_u8(to_width, to_height, to, PixelType::U8x3)
            .expect("the target's length is that of its size");
        let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.inner.resize(&source, &mut target, &triangle).expect("both sides have the same pixel type");
    }
}
