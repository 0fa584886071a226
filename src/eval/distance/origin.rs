//! The point that features are measured from before their products are taken.
//!
//! ||q - g||^2 = ||q||^2 + ||g||^2 - 2 q.g loses digits where the lengths are large beside the distance. Features that
//! share an offset, 100 + noise for example, are all long and all near each other. A distance does not change when both
//! of its ends move, so such an offset is subtracted first.
//!
//! The rule: the mean is subtracted where its squared length is more than [`DWARFED`] times the mean squared distance
//! of the features from it. Both are taken of the gallery, or of [`SAMPLE`] rows spread evenly over a larger one. Else
//! features are compared as they are, and no bit of their distances depends on the rule. Normalised features of a
//! network that tells persons apart are far from the limit: the ratio is 3 for values drawn uniformly from 0 to 1.

use crate::weights::normalise_rows;
use rayon::prelude::*;
use std::borrow::Cow;

/// The mean is subtracted where its squared length is more than so many times the spread.
pub const DWARFED: f64 = 64.0;
/// Rows of the gallery that the mean is taken of, at most.
pub const SAMPLE: usize = 1024;

/// The offset that is subtracted from every feature before products are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The mean, if it dwarfs the spread.
    mean: Option<Vec<f32>>,
    /// The mean's squared length over the mean squared distance from it; infinite where all rows are the same.
    ratio: f64,
}

impl Origin {
    /// By the rule above, from a gallery's rows of `dim` values, each divided by its length first if `normalise`.
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

    /// The offset, a row of `dim` values; none if nothing is subtracted.
    pub fn offset(&self) -> Option<&[f32]> {
        self.mean.as_deref()
    }

    /// `rows` as they are measured: with the offset subtracted, if there is one.
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

    /// The largest distance of one of `rows` of `dim` values from here.
    pub fn farthest(&self, rows: &[f32], dim: usize) -> f64 {
        let squared = |row: &[f32]| match &self.mean {
            None => row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>(),
            Some(mean) => row.iter().zip(mean).map(|(&v, &m)| (f64::from(v) - f64::from(m)).powi(2)).sum(),
        };
        rows.par_chunks_exact(dim).map(squared).reduce(|| 0.0, f64::max).sqrt()
    }

    /// A note for reports; none where lengths do not dwarf distances.
    pub fn note(&self) -> Option<String> {
        self.mean.as_ref()?;
        let what = "Lengths dwarf distances: the features' mean";
        if self.ratio == f64::INFINITY {
            return Some(format!(
                "{what} is all that they are, so the gallery's images are all equally far."
            ));
        }
        let times = self.ratio.sqrt();
        // An f32 has 24 bits.
        let digits = (24.0 * std::f64::consts::LOG10_2 - times.log10()).max(0.0);
        Some(format!(
            "{what} is {times:.0} times as long as they lie apart from it, so distances are computed after subtracting \
             it; about {digits:.0} digits of what tells two images apart are left in the file's 32 bits."
        ))
    }
}

/// All rows, or [`SAMPLE`] spread evenly over them.
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
        // Two places at distance 1 from their mean, which is 8 long: exactly 64, and not more.
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
