//! Colour jitter: random brightness, contrast and saturation of the bytes of a training image, in this order, as
//! Pillow's `ImageEnhance` (and torchvision's `ColorJitter` on Pillow images) computes each of them.
//!
//! A byte v becomes trunc(d + f (v - d)), at least 0 and at most 255, with the random factor f and
//!
//! - brightness: d = 0;
//! - contrast: d = the mean grey of the image, rounded;
//! - saturation: d = the grey of the pixel;
//!
//! grey = (19595 R + 38470 G + 7471 B + 32768) / 2^16, rounded down. The factor is uniform in \[max(0, 1 - a), 1 + a\]
//! with the setting a. torchvision shuffles the order of the operations for each image; here it is fixed.
//!
//! The factors are drawn from words 4, 5 and 6 of the image's sequence (`super::augment` lists them all). The
//! arithmetic is integer, or f32 with one correctly rounded operation after the other, so that `cuda/jitter.cu`
//! computes the same bytes.

use super::erase::Range;
use crate::tensor::philox::Philox;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The block of four words of the factors.
const FACTORS: u32 = 1;

/// The strengths of colour jitter; 0 leaves an image as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Jitter {
    /// The largest change of the brightness's factor.
    pub brightness: f32,
    /// The largest change of the contrast's factor.
    pub contrast: f32,
    /// The largest change of the saturation's factor.
    pub saturation: f32,
}

/// The factors of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factors {
    /// Factor of the brightness.
    pub brightness: f32,
    /// Factor of the contrast.
    pub contrast: f32,
    /// Factor of the saturation.
    pub saturation: f32,
}

impl Jitter {
    /// Whether any image is changed.
    pub fn is_on(&self) -> bool {
        *self != Jitter::default()
    }

    /// The ranges of the factors of brightness, contrast and saturation.
    pub(super) fn ranges(&self) -> [Range; 3] {
        [self.brightness, self.contrast, self.saturation].map(|a| Range::new((1.0 - a).max(0.0), 1.0 + a))
    }

    /// The factors of an image with these draws.
    pub(super) fn factors(&self, draws: &Philox) -> Factors {
        let words = draws.block(FACTORS);
        let [brightness, contrast, saturation] = self.ranges();
        Factors {
            brightness: brightness.at(words[0]),
            contrast: contrast.at(words[1]),
            saturation: saturation.at(words[2]),
        }
    }

    /// Checks the strengths.
    ///
    /// # Errors
    /// A strength that is not 0 to 10.
    pub fn check(&self) -> Result<()> {
        for (name, strength) in
            [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)]
        {
            if !(0.0..=10.0).contains(&strength) {
                return Err(Error::Config(format!("data.{name} {strength}: choose 0 to 10")));
            }
        }
        Ok(())
    }
}

impl Factors {
    /// Changes the pixels of an image, RGB bytes.
    pub fn apply(&self, pixels: &mut [u8]) {
        let pixels = pixels.as_chunks_mut::<3>().0;
        let mut greys = 0_u64;
        for pixel in pixels.iter_mut() {
            *pixel = pixel.map(|v| blend(0, v, self.brightness));
            greys += u64::from(grey(*pixel));
        }
        let n = pixels.len() as u64;
        // Rounded: at most 255, as all greys are.
        let mean = ((2 * greys + n) / (2 * n).max(1)) as u8;
        for pixel in pixels {
            let seen = pixel.map(|v| blend(mean, v, self.contrast));
            let own = grey(seen);
            *pixel = seen.map(|v| blend(own, v, self.saturation));
        }
    }
}

/// The grey of a pixel, as Pillow's `convert("L")`.
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    ((19595 * u32::from(red) + 38470 * u32::from(green) + 7471 * u32::from(blue) + (1 << 15)) >> 16) as u8
}

/// As Pillow's `Image.blend` with the images d and v.
fn blend(d: u8, v: u8, factor: f32) -> u8 {
    // The conversion truncates and saturates.
    (f32::from(d) + factor * (f32::from(v) - f32::from(d))) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::RngStream;

    fn noise(n: u32) -> Vec<u8> {
        let stream = Philox::new(3, 0, 0, RngStream::Test);
        (0..3 * n).map(|i| stream.word(i) as u8).collect()
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        let (whole, mut pixels) = (noise(500), noise(500));
        let draws = Philox::new(1, 2, 3, RngStream::Augment);
        let factors = Jitter::default().factors(&draws);
        assert_eq!(factors, Factors { brightness: 1.0, contrast: 1.0, saturation: 1.0 });
        factors.apply(&mut pixels);
        assert!(pixels == whole);
    }

    #[test]
    fn factors_are_the_documented_draws() {
        let jitter = Jitter { brightness: 0.2, contrast: 1.5, saturation: 0.1 };
        for slot in 0..50 {
            let draws = Philox::new(9, 4, slot, RngStream::Augment);
            let share = |word: u32| f64::from(draws.word(word) >> 8) / 16_777_216.0;
            let Factors { brightness, contrast, saturation } = jitter.factors(&draws);
            let near = |ours: f32, expected: f64| (f64::from(ours) - expected).abs() < 1e-6;
            assert!(near(brightness, 0.8 + 0.4 * share(4)), "{brightness}");
            assert!(near(contrast, 2.5 * share(5)), "{contrast}");
            assert!(near(saturation, 0.9 + 0.2 * share(6)), "{saturation}");
        }
    }

    #[test]
    fn the_ends_of_the_factors() {
        let plain = Factors { brightness: 1.0, contrast: 1.0, saturation: 1.0 };
        let of = |factors: Factors| {
            let mut pixels = vec![10, 20, 30, 200, 100, 0];
            factors.apply(&mut pixels);
            pixels
        };
        assert_eq!(of(Factors { brightness: 0.0, ..plain }), [0; 6]);
        assert_eq!(of(Factors { brightness: 2.0, ..plain }), [20, 40, 60, 255, 200, 0]);
        // Greys 18 and 118: the mean is 68.
        assert_eq!(of(Factors { contrast: 0.0, ..plain }), [68; 6]);
        assert_eq!(of(Factors { saturation: 0.0, ..plain }), [18, 18, 18, 118, 118, 118]);
    }

    #[test]
    fn strengths_out_of_range_are_refused() {
        for bad in [-0.1, 11.0, f32::NAN] {
            let error = Jitter { contrast: bad, ..Jitter::default() }.check().unwrap_err().to_string();
            assert!(error.contains("data.contrast"), "{error}");
        }
    }
}
