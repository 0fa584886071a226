//! Augmentation of training images: random mirroring and cropping, colour jitter, random erasing.
//!
//! The order is the usual one: flip, pad on all sides, crop to the input's size at a random place, change the colours,
//! normalise, erase. The draws of one image are words of Philox(seed, step, place in the batch,
//! [`RngStream::Augment`]), and each has its number, so that switching one augmentation off does not change another:
//!
//! | words | draw |
//! |---|---|
//! | 0 | the flip |
//! | 1, 2 | top and left of the crop |
//! | 4 to 6 | factors of brightness, contrast and saturation ([`super::jitter`]) |
//! | 8 | whether to erase ([`super::erase`]) |
//! | 12 + 4 t to 15 + 4 t | area, aspect, top and left of rectangle t of at most 100 |
//! | 512 + i | noise of pixel i of the image |
//!
//! Book: [chapter 17](../../../../../docs/book/src/17-data.md).

use super::erase::{Erase, Rectangle};
use super::jitter::{Factors, Jitter};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Augment {
    /// Mirror left and right with probability 1/2.
    pub flip: bool,
    /// Pad by this many pixels on each side and crop back to size at a random place; 0 leaves the image
    /// where it is.
    pub pad: usize,
    /// The content of the padding.
    pub pad_mode: PadMode,
    /// Rows and columns that decoded images have more than the input: a crop at a random place leaves them out.
    pub room: [usize; 2],
    /// Random colours.
    pub jitter: Jitter,
    /// Random erasing.
    pub erase: Erase,
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
    // ANCHOR: view
    /// The view of the image at place `slot` of the batch of `step`: a pure function of its arguments.
    pub fn view(&self, seed: u64, step: u64, slot: usize) -> View {
        let draws = draws(seed, step, slot);
        let shift = |word: u32, room: usize| {
            draws.below(word, (2 * self.pad + room) as u32 + 1) as isize - self.pad as isize
        };
        View {
            flip: self.flip && draws.below(0, 2) == 1,
            top: shift(1, self.room[0]),
            left: shift(2, self.room[1]),
            border: self.pad_mode,
        }
    }
    // ANCHOR_END: view

    /// The factors of the colours of the same image; `None` if they stay.
    pub fn colours(&self, seed: u64, step: u64, slot: usize) -> Option<Factors> {
        self.jitter.is_on().then(|| self.jitter.factors(&draws(seed, step, slot)))
    }

    /// The rectangle of the same image that is erased, of `height` x `width` pixels; `None` if it stays whole.
    pub fn erased(
        &self,
        seed: u64,
        step: u64,
        slot: usize,
        [height, width]: [usize; 2],
    ) -> Option<Rectangle> {
        let erase = self.erase;
        erase.is_on().then(|| erase.rectangle(&draws(seed, step, slot), height, width)).flatten()
    }

    /// Rows and columns of the decoded images for an input of `height` x `width` pixels.
    pub fn image_size(&self, height: usize, width: usize) -> [usize; 2] {
        [height + self.room[0], width + self.room[1]]
    }

    /// Checks the ranges, and that every crop shows a part of the image.
    ///
    /// # Errors
    /// A padding as large as the input's smaller side; what [`Jitter::check`] and [`Erase::check`] refuse.
    pub fn check(&self, height: usize, width: usize) -> Result<()> {
        self.jitter.check()?;
        self.erase.check()?;
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

/// The random numbers of the image at place `slot` of the batch of `step`.
pub(super) fn draws(seed: u64, step: u64, slot: usize) -> Philox {
    Philox::new(seed, step, slot as u64, RngStream::Augment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_the_documented_draws() {
        let augment = Augment { flip: true, pad: 10, pad_mode: PadMode::Edge, ..Augment::default() };
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
        let augment = Augment { flip: true, pad: 2, ..Augment::default() };
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
        let plain = Augment::default();
        for step in 0..50 {
            assert_eq!(plain.view(3, step, 0), View::PLAIN);
            assert_eq!((plain.colours(3, step, 0), plain.erased(3, step, 0, [64, 32])), (None, None));
        }
    }

    /// A crop of a larger image lies inside of it, or in its padding too, and comes to each place.
    #[test]
    fn crops_of_larger_images() {
        for (pad, lowest, highest) in [(0, 0, [3, 1]), (2, -2, [5, 3])] {
            let augment = Augment { pad, room: [3, 1], ..Augment::default() };
            let views: Vec<View> = (0..2000).map(|i| augment.view(1, i / 16, (i % 16) as usize)).collect();
            for (of, highest) in [((|v| v.top) as fn(&View) -> isize, highest[0]), (|v| v.left, highest[1])] {
                let counts: Vec<usize> = (lowest - 1..=highest + 1)
                    .map(|at| views.iter().filter(|v| of(v) == at).count())
                    .collect();
                let (inner, n) = (&counts[1..counts.len() - 1], counts.len() - 2);
                assert!(inner.iter().all(|&count| count > 1400 / n && count < 2700 / n), "{counts:?}");
                assert_eq!(inner.iter().sum::<usize>(), 2000);
            }
        }
        assert_eq!(Augment { room: [32, 16], ..Augment::default() }.image_size(256, 128), [288, 144]);
    }

    /// Each augmentation has draws of its own.
    #[test]
    fn augmentations_do_not_move_each_other() {
        let plain = Augment { flip: true, pad: 4, ..Augment::default() };
        let jitter = Jitter { brightness: 0.2, ..Jitter::default() };
        let erase = Erase { probability: 1.0, ..Erase::default() };
        let all = Augment { jitter, erase, ..plain };
        for step in 0..20 {
            assert_eq!(all.view(5, step, 2), plain.view(5, step, 2));
            assert_eq!(all.colours(5, step, 2), Augment { jitter, ..Augment::default() }.colours(5, step, 2));
            let alone = Augment { erase, ..Augment::default() }.erased(5, step, 2, [64, 32]);
            assert_eq!(all.erased(5, step, 2, [64, 32]), alone);
            assert!(alone.is_some());
        }
    }

    #[test]
    fn a_padding_that_hides_the_image_is_refused() {
        Augment { pad: 127, ..Augment::default() }.check(256, 128).unwrap();
        let error = Augment { pad: 128, ..Augment::default() }.check(256, 128).unwrap_err();
        assert!(error.to_string().contains("less than 128"), "{error}");
    }
}
