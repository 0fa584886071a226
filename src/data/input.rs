//! The input convention of a network: size, channel order and normalisation.
//!
//! A byte v of channel c becomes (v * scale - mean\[c\]) / std\[c\], rounded once. Weights fit only the convention
//! that they were trained with, so a weight file stores it in its metadata.

use super::augment::{PadMode, View};
use super::erase::{Erase, EraseFill, Rectangle};
use crate::tensor::philox::Philox;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The order of an input's three channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red, green, blue: torchvision.
    Rgb,
    /// Blue, green, red: Caffe (it reads with OpenCV).
    Bgr,
}

/// The input convention of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// The order of the channels.
    pub channels: Channels,
    /// Factor of the bytes: 1/255, or 1 for Caffe.
    pub scale: f32,
    /// Mean that is subtracted after scaling, in the order of `channels`.
    pub mean: [f32; 3],
    /// Standard deviation that the difference is divided by, in the order of `channels`.
    pub std: [f32; 3],
}

impl ImageInput {
    /// torchvision's convention: RGB in [0, 1], then the mean and deviation of ImageNet.
    pub fn imagenet(height: usize, width: usize) -> Self {
        ImageInput {
            height,
            width,
            channels: Channels::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// Number of values of one image: `height * width * 3`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.height * self.width * 3
    }

    /// Checks the convention.
    ///
    /// # Errors
    /// A size of 0 or above 4096, a deviation of 0, anything not finite.
    pub fn check(&self) -> Result<()> {
        let sizes = 1..=4096;
        if !sizes.contains(&self.height) || !sizes.contains(&self.width) {
            let (h, w) = (self.height, self.width);
            return Err(Error::Config(format!(
                "input.height {h}, input.width {w}: choose 1 to 4096 pixels for each"
            )));
        }
        let finite = self.mean.iter().chain(&self.std).all(|v| v.is_finite());
        if !finite || !self.scale.is_finite() || self.std.contains(&0.0) || self.scale == 0.0 {
            return Err(Error::Config(format!(
                "input.scale {}, input.mean {:?}, input.std {:?}: choose finite values, and none of scale and std 0",
                self.scale, self.mean, self.std
            )));
        }
        Ok(())
    }
}

/// The normalisation of an [`ImageInput`] as a table: the value of each byte, by output channel.
#[derive(Clone, Debug)]
pub struct Normaliser {
    height: usize,
    width: usize,
    /// The source channel of each output channel.
    source: [usize; 3],
    values: Box<[[f32; 256]; 3]>,
}

impl Normaliser {
    /// Computes the table of an input convention.
    pub fn new(input: &ImageInput) -> Self {
        let value = |c: usize, byte: usize| {
            let scaled = byte as f64 * f64::from(input.scale);
            ((scaled - f64::from(input.mean[c])) / f64::from(input.std[c])) as f32
        };
        Normaliser {
            height: input.height,
            width: input.width,
            source: match input.channels {
                Channels::Rgb => [0, 1, 2],
                Channels::Bgr => [2, 1, 0],
            },
            values: Box::new(std::array::from_fn(|c| std::array::from_fn(|byte| value(c, byte)))),
        }
    }

    /// f32 `[3, 256]`: the value of each byte, by output channel.
    pub(super) fn values(&self) -> &[f32] {
        self.values.as_flattened()
    }

    /// Writes the normalised values of a view of an image, RGB bytes `[height, width, 3]`.
    ///
    /// # Panics
    /// If `image` or `out` has another length.
    pub fn write(&self, image: &[u8], view: View, out: &mut [f32]) {
        self.write_crop(image, [self.height, self.width], view, out);
    }

    /// As [`Normaliser::write`], for an image of another size, `[rows, columns]`: the view is a crop of it.
    ///
    /// # Panics
    /// If `image` or `out` has another length.
    pub fn write_crop(&self, image: &[u8], size: [usize; 2], view: View, out: &mut [f32]) {
        view.crop(image, size, [self.height, self.width], out, |pixel| self.normalised(pixel));
    }

    /// The values of a pixel, RGB bytes, by output channel.
    fn normalised(&self, pixel: [u8; 3]) -> [f32; 3] {
        std::array::from_fn(|c| self.values[c][usize::from(pixel[self.source[c]])])
    }

    /// Overwrites a rectangle of normalised values, as `augment` says and with the noise of `draws`.
    ///
    /// # Panics
    /// If `out` has another length, or the rectangle is not inside the image.
    pub fn erase(&self, rectangle: Rectangle, fill: EraseFill, draws: &Philox, out: &mut [f32]) {
        assert_eq!(out.len(), self.height * self.width * 3);
        let Rectangle { top, left, height, width } = rectangle;
        for y in top..top + height {
            let row = y * self.width + left;
            for (i, out) in out[3 * row..][..3 * width].chunks_exact_mut(3).enumerate() {
                out.copy_from_slice(&match fill {
                    EraseFill::Mean => [0.0; 3],
                    EraseFill::Noise => self.normalised(Erase::noise(draws, row + i)),
                });
            }
        }
    }
}

impl View {
    /// Writes `value` of each pixel of this view of an image to `out`, three values a pixel. The image is RGB bytes of
    /// `[rows, columns]`, the view of another `[rows, columns]`.
    ///
    /// # Panics
    /// If `image` or `out` has another length.
    pub(super) fn crop<T: Copy>(
        self,
        image: &[u8],
        [image_height, image_width]: [usize; 2],
        [height, width]: [usize; 2],
        out: &mut [T],
        value: impl Fn([u8; 3]) -> [T; 3],
    ) {
        assert_eq!((image.len(), out.len()), (image_height * image_width * 3, height * width * 3));
        let black = [0; 3];
        let columns: Vec<Option<usize>> = (0..width)
            .map(|x| {
                let seen = self.border.at(x as isize + self.left, image_width)?;
                Some(3 * if self.flip { image_width - 1 - seen } else { seen })
            })
            .collect();
        for (y, out) in out.chunks_exact_mut(width * 3).enumerate() {
            let row = self.border.at(y as isize + self.top, image_height);
            let row = row.map(|y| &image[y * image_width * 3..][..image_width * 3]);
            for (out, column) in out.chunks_exact_mut(3).zip(&columns) {
                let pixel = match (row, *column) {
                    (Some(row), Some(x)) => [row[x], row[x + 1], row[x + 2]],
                    _ => black,
                };
                out.copy_from_slice(&value(pixel));
            }
        }
    }
}

impl PadMode {
    /// The source row or column shown at `at` of a padded image with `size` of them; `None` is black.
    fn at(self, at: isize, size: usize) -> Option<usize> {
        let last = size as isize - 1;
        match self {
            PadMode::Zero => (0..=last).contains(&at).then_some(at as usize),
            PadMode::Edge => Some(at.clamp(0, last) as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that name their place: 16 y + x, with the channel in the top bits.
    fn picture(height: usize, width: usize) -> Vec<u8> {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (16 * y + x) as u8));
        pixels.flat_map(|v| [v, v + 64, v + 128]).collect()
    }

    fn plain(height: usize, width: usize, channels: Channels) -> Normaliser {
        Normaliser::new(&ImageInput {
            channels,
            scale: 1.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            ..ImageInput::imagenet(height, width)
        })
    }

    fn seen(normaliser: &Normaliser, image: &[u8], view: View) -> Vec<f32> {
        let mut out = vec![f32::NAN; image.len()];
        normaliser.write(image, view, &mut out);
        out
    }

    #[test]
    fn bytes_become_what_torchvision_makes_of_them() {
        let input = ImageInput::imagenet(1, 1);
        let out = seen(&Normaliser::new(&input), &[0, 100, 255], View::PLAIN);
        let expected = [(0.0, 0.485, 0.229), (100.0, 0.456, 0.224), (255.0, 0.406, 0.225)];
        for (out, (byte, mean, std)) in out.iter().zip(expected) {
            let torchvision: f32 = (byte / 255.0 - mean) / std;
            assert!((out - torchvision).abs() < 1e-6, "{out} against {torchvision}");
        }
    }

    #[test]
    fn bgr_swaps_pixels_and_takes_mean_and_deviation_in_its_own_order() {
        let input = ImageInput {
            channels: Channels::Bgr,
            scale: 1.0,
            mean: [104.0, 117.0, 124.0],
            std: [1.0, 2.0, 4.0],
            ..ImageInput::imagenet(1, 1)
        };
        let out = seen(&Normaliser::new(&input), &[124, 119, 105], View::PLAIN);
        assert_eq!(out, [1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_view_flips_first_and_then_shifts() {
        let image = picture(3, 4);
        let normaliser = plain(3, 4, Channels::Rgb);
        for (flip, border, top, left) in
            [(false, PadMode::Zero, 0, 0), (true, PadMode::Zero, 0, 0), (false, PadMode::Zero, -1, 2)]
                .into_iter()
                .chain([
                    (true, PadMode::Zero, 1, -2),
                    (true, PadMode::Edge, -2, 3),
                    (false, PadMode::Edge, 2, -1),
                ])
        {
            let out = seen(&normaliser, &image, View { flip, top, left, border });
            for y in 0..3isize {
                for x in 0..4isize {
                    let (mut sy, mut sx) = (y + top, x + left);
                    let inside = (0..3).contains(&sy) && (0..4).contains(&sx);
                    (sy, sx) = (sy.clamp(0, 2), sx.clamp(0, 3));
                    let byte = 16 * sy + if flip { 3 - sx } else { sx };
                    let shown = |c: isize| {
                        if inside || border == PadMode::Edge { (byte + 64 * c) as f32 } else { 0.0 }
                    };
                    let at = ((y * 4 + x) * 3) as usize;
                    assert_eq!(
                        out[at..at + 3],
                        [shown(0), shown(1), shown(2)],
                        "{flip} {border:?} at {y}, {x}"
                    );
                }
            }
        }
    }

    /// Padding is black before normalisation, so it takes the value of a black pixel and not 0.
    #[test]
    fn padding_is_black() {
        let input = ImageInput::imagenet(2, 2);
        let view = View { flip: false, top: 2, left: 0, border: PadMode::Zero };
        let out = seen(&Normaliser::new(&input), &[255; 12], view);
        assert!((out[0] - -0.485 / 0.229).abs() < 1e-6, "{}", out[0]);
    }

    #[test]
    fn senseless_conventions_are_refused() {
        let good = ImageInput::imagenet(256, 128);
        good.check().unwrap();
        for bad in [
            ImageInput { height: 0, ..good.clone() },
            ImageInput { width: 5000, ..good.clone() },
            ImageInput { std: [1.0, 0.0, 1.0], ..good.clone() },
            ImageInput { mean: [f32::NAN, 0.0, 0.0], ..good.clone() },
            ImageInput { scale: f32::INFINITY, ..good.clone() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
