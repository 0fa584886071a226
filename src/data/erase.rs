//! Random erasing (Zhong et al., "Random Erasing Data Augmentation", AAAI 2020): a rectangle of a normalised training
//! image is overwritten.
//!
//! With S = H W pixels, the rectangle's area S_e is uniform in S \[s_l, s_h\] and its aspect r_e uniform in \[r_1, 1 /
//! r_1\]; it has round(sqrt(S_e r_e)) rows and round(sqrt(S_e / r_e)) columns. A rectangle that is not smaller than the
//! image in both directions is drawn again, at most [`TRIES`] times; then the image stays whole.
//!
//! The draws are words of the image's sequence (`super::augment` lists them all): word 8 decides, and words 12 + 4 t
//! to 15 + 4 t are area, aspect, top and left of try t. Pixel i of the image takes its noise from word 512 + i: the
//! three low bytes are red, green and blue. All arithmetic is f32, one correctly rounded operation after the other, so
//! that `cuda/erase.cu` computes the same rectangles.

use crate::tensor::philox::{Philox, unit};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Rectangles that are drawn until one fits, as in the authors' code.
pub const TRIES: u32 = 100;

/// Blocks of four words: the decision, the first try, the noise of the first pixel.
const DECISION: u32 = 2;
const FIRST_TRY: u32 = 3;
const NOISE: u32 = 128;

/// The content of an erased rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EraseFill {
    /// 0 after normalisation: the mean pixel.
    #[default]
    Mean,
    /// Random bytes, normalised.
    Noise,
}

/// Random erasing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Erase {
    /// The probability that an image is erased in part; 0 is off.
    pub probability: f32,
    /// Smallest and largest area, as shares of the image.
    pub area: [f32; 2],
    /// The smallest aspect, rows by columns, above 0 and at most 1; the largest is its reciprocal.
    pub aspect: f32,
    /// The content of the rectangle.
    pub fill: EraseFill,
}

impl Default for Erase {
    /// Off, with the ranges of Zhong et al.
    fn default() -> Self {
        Erase { probability: 0.0, area: [0.02, 0.4], aspect: 0.3, fill: EraseFill::Mean }
    }
}

/// A rectangle of pixels inside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// A uniform number of a range by its lower bound and its length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub low: f32,
    pub span: f32,
}

impl Range {
    pub fn new(low: f32, high: f32) -> Self {
        Range { low, span: high - low }
    }

    /// The number of a random word.
    pub fn at(self, word: u32) -> f32 {
        self.low + unit(word) * self.span
    }
}

impl Erase {
    /// Whether any image is erased.
    pub fn is_on(&self) -> bool {
        self.probability > 0.0
    }

    pub(super) fn areas(&self) -> Range {
        Range::new(self.area[0], self.area[1])
    }

    pub(super) fn aspects(&self) -> Range {
        Range::new(self.aspect, 1.0 / self.aspect)
    }

    /// The rectangle of an image of `height` x `width` pixels with these draws; `None` if it stays whole.
    pub(super) fn rectangle(&self, draws: &Philox, height: usize, width: usize) -> Option<Rectangle> {
        if unit(draws.block(DECISION)[0]) >= self.probability {
            return None;
        }
        let (areas, aspects) = (self.areas(), self.aspects());
        let pixels = (height * width) as f32;
        (0..TRIES).find_map(|attempt| {
            let [area, aspect, top, left] = draws.block(FIRST_TRY + attempt);
            let (area, aspect) = (areas.at(area) * pixels, aspects.at(aspect));
            let rows = (area * aspect).sqrt().round_ties_even() as usize;
            let columns = (area / aspect).sqrt().round_ties_even() as usize;
            let below = |word: u32, n: usize| ((u64::from(word) * n as u64) >> 32) as usize;
            (rows < height && columns < width).then(|| Rectangle {
                top: below(top, height - rows + 1),
                left: below(left, width - columns + 1),
                height: rows,
                width: columns,
            })
        })
    }

    /// The noise of pixel `i` of an image: red, green, blue.
    pub(super) fn noise(draws: &Philox, i: usize) -> [u8; 3] {
        let [red, green, blue, _] = draws.word(4 * NOISE + i as u32).to_le_bytes();
        [red, green, blue]
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// A probability outside of 0 to 1; areas that are no ascending shares; an aspect that is not above 0 and at most
    /// 1.
    pub fn check(&self) -> Result<()> {
        let [low, high] = self.area;
        let fault = if !(0.0..=1.0).contains(&self.probability) {
            format!("data.erase {}: choose a probability of 0 to 1", self.probability)
        } else if !(low > 0.0 && low <= high && high <= 1.0) {
            format!("data.erase_area [{low}, {high}]: choose two ascending shares above 0 and at most 1")
        } else if !(self.aspect >= 0.01 && self.aspect <= 1.0) {
            format!("data.erase_aspect {}: choose 0.01 to 1", self.aspect)
        } else {
            return Ok(());
        };
        Err(Error::Config(fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::RngStream;

    fn draws(slot: u64) -> Philox {
        Philox::new(42, 7, slot, RngStream::Augment)
    }

    /// The definition in f64, from the words of the sequence by their numbers.
    #[test]
    fn rectangles_are_the_documented_draws() {
        let erase = Erase { probability: 1.0, ..Erase::default() };
        let mut tried_again = 0;
        for slot in 0..200 {
            let draws = draws(slot);
            let share = |word: u32| f64::from(draws.word(word) >> 8) / 16_777_216.0;
            let found = (0..100).find_map(|t| {
                let area = (0.02 + share(12 + 4 * t) * 0.38) * 64.0 * 32.0;
                let aspect = 0.3 + share(13 + 4 * t) * (1.0 / 0.3 - 0.3);
                let (rows, columns) = ((area * aspect).sqrt().round(), (area / aspect).sqrt().round());
                tried_again += usize::from(t == 1);
                let place = |word: u32, n: f64| draws.below(word, n as u32 + 1) as usize;
                (rows < 64.0 && columns < 32.0).then(|| Rectangle {
                    top: place(14 + 4 * t, 64.0 - rows),
                    left: place(15 + 4 * t, 32.0 - columns),
                    height: rows as usize,
                    width: columns as usize,
                })
            });
            assert_eq!(erase.rectangle(&draws, 64, 32), found, "slot {slot}");
        }
        assert!(tried_again > 10, "{tried_again}");
    }

    #[test]
    fn the_share_of_erased_images_and_of_their_pixels() {
        let erase = Erase { probability: 0.5, ..Erase::default() };
        let found: Vec<Rectangle> =
            (0..4000).filter_map(|slot| erase.rectangle(&draws(slot), 256, 128)).collect();
        // A deviation of sqrt(4000 / 4) = 32.
        assert!((1870..2130).contains(&found.len()), "{}", found.len());
        for r in &found {
            let share = (r.height * r.width) as f64 / (256.0 * 128.0);
            let aspect = r.height as f64 / r.width as f64;
            assert!((0.018..0.41).contains(&share) && (0.28..3.5).contains(&aspect), "{r:?}");
            assert!(r.top + r.height <= 256 && r.left + r.width <= 128, "{r:?}");
        }
        let touches = |near: fn(&Rectangle) -> bool| found.iter().filter(|r| near(r)).count();
        assert!(touches(|r| r.top == 0) > 0 && touches(|r| r.left == 0) > 0);
        assert!(touches(|r| r.top + r.height == 256) > 0 && touches(|r| r.left + r.width == 128) > 0);
        assert!((0..100).all(|slot| Erase::default().rectangle(&draws(slot), 256, 128).is_none()));
    }

    /// A rectangle of the whole image never fits.
    #[test]
    fn an_image_stays_whole_if_no_rectangle_fits() {
        let erase = Erase { probability: 1.0, area: [1.0, 1.0], aspect: 1.0, ..Erase::default() };
        assert_eq!(erase.rectangle(&draws(0), 16, 16), None);
        assert!(Erase { area: [0.2, 0.2], ..erase }.rectangle(&draws(0), 16, 16).is_some());
    }

    #[test]
    fn senseless_ranges_are_refused() {
        let good = Erase { probability: 0.5, ..Erase::default() };
        good.check().unwrap();
        for (bad, word) in [
            (Erase { probability: 1.5, ..good }, "data.erase 1.5"),
            (Erase { probability: f32::NAN, ..good }, "data.erase NaN"),
            (Erase { area: [0.4, 0.02], ..good }, "ascending"),
            (Erase { area: [0.0, 0.4], ..good }, "above 0"),
            (Erase { area: [0.1, f32::INFINITY], ..good }, "at most 1"),
            (Erase { aspect: 0.0, ..good }, "data.erase_aspect 0"),
            (Erase { aspect: 2.0, ..good }, "data.erase_aspect 2"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
