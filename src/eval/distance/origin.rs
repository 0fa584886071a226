//! Common offset of the features, subtracted before products are taken.
//!
//! ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g loses digits where the lengths are large beside the distance. Features that
//! share an offset, 100 + noise for example, are all long and all near each other. A distance does not change when both
//! points move alike, so such an offset is subtracted first.
//!
//! The rule: the mean is subtracted where its squared length is more than [`DWARFED`] times the mean squared distance
//! of the features from it. Both are taken of the gallery, or of [`SAMPLE`] rows spread evenly over a larger one.
//! Otherwise features are compared as they are, and no bit of their distances depends on the rule. Normalised features
//! of a network that distinguishes persons are far from the limit: the ratio is 3 for values drawn uniformly from 0
//! to 1.

use crate::weights::normalise_rows;
use rayon::prelude::*;
use std::borrow::Cow;

/// Ratio of the mean's squared length to the mean squared distance from it above which the mean is subtracted.
pub const DWARFED: f64 = 64.0;
/// Largest number of gallery rows that the mean is taken of.
pub const SAMPLE: usize = 1024;

/// The offset that is subtracted from every feature before products are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The mean, if the ratio is above [`DWARFED`].
    mean: Option<Vec<f32>>,
    /// The mean's squared length over the mean squared distance from it; infinite where all rows are the same.
    ratio: f64,
}

impl Origin {
    /// Determines the offset by the rule above from a gallery's rows of `dim` values, each divided by its length first
    /// if `normalise`.
    ///
    /// # Panics
    /// If there are no rows of `dim` values.
    pub fn of(gallery: &[f32], dim: usize, normalise: bool) -> Self {
        assert!(dim > 0 && !gallery.is_empty() && gallery.len().is_multiple_of(dim), "rows of {dim} values");
        let mut rows = sample(gallery, dim);
        if normalise {
            normalise_rows(rows.to_mut(), dim);
        }
        let n = (rows.len() / dim) as f64;
        let mut mean = vec![0.0; dim];
        for row in rows.chunks_exact(dim) {
            mean.iter_mut().zip(row).for_each(|(sum, &v)| *sum += f64::from(v));
        }
        mean.iter_mut().for_each(|sum| *sum /= n);
        let from_mean =
            |row: &[f32]| row.iter().zip(&mean).map(|(&v, m)| (f64::from(v) - m).powi(2)).sum::<f64>();
        let spread = rows.chunks_exact(dim).map(from_mean).sum::<f64>() / n;
        let squared = mean.iter().map(|m| m * m).sum::<f64>();
        let ratio = if squared > 0.0 { squared / spread } else { 0.0 };
        let dwarfed = ratio > DWARFED;
        Origin { mean: dwarfed.then(|| mean.into_iter().map(|m| m as f32).collect()), ratio }
    }

    /// The offset, a row of `dim` values; `None` if no offset is subtracted.
    pub fn offset(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// `rows` with the offset subtracted, if there is one.
    pub fn shifted<'a>(&self, rows: &'a [f32]) -> Cow<'a, [f32]> {
        match &self.mean {
            None => Cow::Borrowed(rows),
            Some(mean) => {
                let mut rows = rows.to_vec();
                for row in rows.chunks_exact_mut(mean.len()) {
                    row.iter_mut().zip(mean).for_each(|(v, m)| *v -= m);
                }
                Cow::Owned(rows)
            }
        }
    }

    /// Largest distance of one of `rows` of `dim` values from the origin.
    pub fn farthest(&self, rows: &[f32], dim: usize) -> f64 {
        let squared = |row: &[f32]| match &self.mean {
            None => row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>(),
            Some(mean) => row.iter().zip(mean).map(|(&v, &m)| (f64::from(v) - f64::from(m)).powi(2)).sum(),
        };
        rows.par_chunks_exact(dim).map(squared).reduce(|| 0.0, f64::max).sqrt()
    }

    /// Note for reports; `None` where no offset is subtracted.
    pub fn note(&self) -> Option<String> {
        self.mean.as_ref()?;
        if self.ratio == f64::INFINITY {
            return Some(
                "Offset: all features of the gallery are equal, so all its images are equally far from a query."
                    .into(),
            );
        }
        let times = self.ratio.sqrt();
        // An f32 has 24 significant bits.
        let digits = (24.0 * std::f64::consts::LOG10_2 - times.log10()).max(0.0);
        Some(format!(
            "Offset: the features' mean is {times:.0} times as long as the features' distance from it, so it is \
             subtracted before distances are computed; about {digits:.0} digits of the differences between images are \
             left in the file's 32 bits."
        ))
    }
}

/// All rows, or [`SAMPLE`] rows spread evenly over them.
fn sample(rows: &[f32], dim: usize) -> Cow<'_, [f32]> {
    let n = rows.len() / dim;
    if n <= SAMPLE {
        return Cow::Borrowed(rows);
    }
    Cow::Owned((0..SAMPLE).flat_map(|i| &rows[i * n / SAMPLE * dim..][..dim]).copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_documented_one() {
        // Two points at distance 1 from their mean, which has length 8: a ratio of exactly 64, and not more.
        assert_eq!(Origin::of(&[7.0, 9.0], 1, false), Origin { mean: None, ratio: 64.0 });
        assert_eq!(Origin::of(&[7.5, 9.5], 1, false).offset(), Some(&[8.5][..]));
        assert_eq!(Origin::of(&[0.0, 0.0], 1, false).offset(), None);
        assert_eq!(Origin::of(&[3.0, 3.0], 1, false).offset(), Some(&[3.0][..]));
        // Divided by their lengths, these are two unit vectors at a right angle.
        assert_eq!(Origin::of(&[100.0, 0.0, 0.0, 3.0], 2, true).ratio, 1.0);
    }

    #[test]
    fn a_large_gallery_is_sampled_from_end_to_end() {
        let rows: Vec<f32> = (0..10 * SAMPLE).map(|i| i as f32).collect();
        let Cow::Owned(sampled) = sample(&rows, 1) else { panic!("not sampled") };
        assert_eq!(sampled.len(), SAMPLE);
        assert_eq!((sampled[0], sampled[1], sampled[SAMPLE - 1]), (0.0, 10.0, 10.0 * (SAMPLE - 1) as f32));
    }

    #[test]
    fn the_note_counts_the_digits_that_are_left() {
        assert_eq!(Origin::of(&[1.0, -1.0], 1, false).note(), None);
        let note = Origin::of(&[999.0, 1001.0], 1, false).note().unwrap();
        assert!(note.contains("1000 times") && note.contains("about 4 digits"), "{note}");
        assert!(Origin::of(&[5.0, 5.0], 1, false).note().unwrap().contains("equally far"));
    }
}
