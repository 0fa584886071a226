//! Pictures to the network's size: bilinear with antialiasing, as Pillow's `Image.resize((w, h), BILINEAR)`
//! and so torchvision's on a Pillow image.
//!
//! The filter is a triangle that widens with the ratio when an image shrinks, so that every source pixel
//! counts. (The bilinear of OpenCV and of `F.interpolate` skips pixels when it shrinks.) Aspect is not kept:
//! re-identification squeezes every box to one size. The bytes are Pillow's where an image is
//! enlarged; where it is shrunk some are one level off (`tests/data/resize.rs`; docs/results.md has shares).

use super::decode::Rgb;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions};

/// Resizes pictures, keeping its tables and its buffer between pictures.
#[derive(Default)]
pub struct Resizer {
    inner: fast_image_resize::Resizer,
    narrowed: Vec<u8>,
}

impl Resizer {
    /// Writes `picture` as `height * width * 3` RGB bytes to `out`.
    ///
    /// Between the passes it holds `picture.height * width * 3` bytes. With the longest side that
    /// [`super::decode`] lets through that is 25 MB at a width of 128, and 805 MB at 4096, the widest input
    /// allowed: no more than the decoder may take.
    ///
    /// # Panics
    /// If `out` has another length, or `height` or `width` is 0.
    pub fn resize(&mut self, picture: &Rgb, height: usize, width: usize, out: &mut [u8]) {
        assert_eq!(out.len(), height * width * 3);
        // Pillow takes rows before columns; left to itself, the library takes columns first, and as bytes
        // lie between the passes, a sixth of all bytes would come out one level off.
        let mut narrowed = std::mem::take(&mut self.narrowed);
        narrowed.resize(picture.height * width * 3, 0);
        self.pass(&picture.pixels, [picture.height, picture.width], &mut narrowed, [picture.height, width]);
        self.pass(&narrowed, [picture.height, width], out, [height, width]);
        self.narrowed = narrowed;
    }

    /// Resizes between `[height, width]`s that differ along one side at most.
    fn pass(&mut self, from: &[u8], from_size: [usize; 2], to: &mut [u8], to_size: [usize; 2]) {
        if from_size == to_size {
            to.copy_from_slice(from);
            return;
        }
        let sides = |[height, width]: [usize; 2]| (width as u32, height as u32);
        let ((from_width, from_height), (to_width, to_height)) = (sides(from_size), sides(to_size));
        let source = ImageRef::new(from_width, from_height, from, PixelType::U8x3)
            .expect("a picture has the bytes its size says");
        let mut target = Image::from_slice_u8(to_width, to_height, to, PixelType::U8x3)
            .expect("the buffer was made for this size");
        let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.inner.resize(&source, &mut target, &triangle).expect("both sides have the same pixel type");
    }
}
