//! Augmentation of training images: random mirroring and random cropping.
//!
//! The order is the usual one: flip, pad on all sides, crop back to size at a random place. The draws of one
//! image are the first words of Philox(seed, step, place in the batch, [`RngStream::Augment`]): word 0 flips, words
//! 1 and 2 place the crop. They are drawn whether they are used or not, so that switching the flip off does
//! not move the crops.

use crate::tensor::philox::{Philox, RngStream};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The content of an image's padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PadMode {
    /// Black, before normalisation.
    #[default]
    Zero,
    /// The nearest pixel of the image.
    Edge,
}

/// The augmentations of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Pad by this many pixels on each side and crop back to size at a random place; 0 leaves the image
    /// where it is.
    pub pad: usize,
    /// The content of the padding.
    pub pad_mode: PadMode,
}

/// A view of one image: pixel (y, x) shows pixel (y + top, x + left) of the image, which is mirrored first if `flip`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Whether the image is mirrored left and right.
    pub flip: bool,
    /// Rows from the image's top to the crop's (negative: the crop begins above the image).
    pub top: isize,
    /// Columns from the image's left side to the crop's.
    pub left: isize,
    /// The content outside the image.
    pub border: PadMode,
}

impl View {
    /// The unchanged image.
    pub const PLAIN: View = View { flip: false, top: 0, left: 0, border: PadMode::Zero };
    /// The image mirrored left and right.
    pub const MIRRORED: View = View { flip: true, ..View::PLAIN };
}

impl Augment {
    /// The view of the image at place `slot` of the batch of `step`: a pure function of its arguments.
    pub fn view(&self, seed: u64, step: u64, slot: usize) -> View {
        let draws = Philox::new(seed, step, slot as u64, RngStream::Augment);
        let shift = |word: u32| draws.below(word, 2 * self.pad as u32 + 1) as isize - self.pad as isize;
        View {
            flip: self.flip && draws.below(0, 2) == 1,
            top: shift(1),
            left: shift(2),
            border: self.pad_mode,
        }
    }

    /// Checks that every crop shows a part of the image.
    ///
    /// # Errors
    /// A padding as large as the input's smaller side.
    pub fn check(&self, height: usize, width: usize) -> Result<()> {
        let side = height.min(width);
        if self.pad > 0 && self.pad >= side {
            return Err(Error::Config(format!(
                "data.pad {}: a crop of a {height} x {width} image (height x width) may lie wholly in the padding; \
                 choose less than {side}",
                self.pad
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_the_documented_draws() {
        let augment = Augment { flip: true, pad: 10, pad_mode: PadMode::Edge };
        for (step, slot) in [(0, 0), (7, 3), (49_999, 15)] {
            let words = Philox::new(42, step, slot, RngStream::Augment).block(0);
            let place = |word: u32| ((u64::from(word) * 21) >> 32) as isize - 10;
            let expected = View {
                flip: words[0] >= 1 << 31,
                top: place(words[1]),
                left: place(words[2]),
                border: PadMode::Edge,
            };
            assert_eq!(augment.view(42, step, slot as usize), expected);
        }
    }

    #[test]
    fn every_shift_and_both_sides_come_up() {
        let augment = Augment { flip: true, pad: 2, pad_mode: PadMode::Zero };
        let views: Vec<View> = (0..2000).map(|i| augment.view(1, i / 16, (i % 16) as usize)).collect();
        for shift in -2..=2 {
            let tops = views.iter().filter(|v| v.top == shift).count();
            let lefts = views.iter().filter(|v| v.left == shift).count();
            assert!((330..470).contains(&tops) && (330..470).contains(&lefts), "{shift}: {tops}, {lefts}");
        }
        let flips = views.iter().filter(|v| v.flip).count();
        assert!((900..1100).contains(&flips), "{flips}");
    }

    #[test]
    fn without_augmentations_the_view_is_plain() {
        for step in 0..50 {
            assert_eq!(Augment::default().view(3, step, 0), View::PLAIN);
        }
    }

    #[test]
    fn a_padding_that_hides_the_image_is_refused() {
        Augment { flip: true, pad: 127, pad_mode: PadMode::Zero }.check(256, 128).unwrap();
        let error = Augment { flip: true, pad: 128, pad_mode: PadMode::Zero }.check(256, 128).unwrap_err();
        assert!(error.to_string().contains("less than 128"), "{error}");
    }
}
