//! Verification: histograms of the distances of positive pairs (one identity) and negative pairs (two identities), and
//! the error rates of a threshold on the distance.
//!
//! A pair is a query and a gallery image. The rules are those of the ranking ([`super::Protocol`]): pairs with junk
//! (pid -1) are left out, and so are pairs of one identity under one camera where cameras are known; a distractor
//! (pid 0) forms a negative pair with every query of a person.
//!
//! Market-1501 has 53 million such pairs, so they are counted, not stored: a block of queries at a time, into [`BINS`]
//! bins of equal width. **Exact**: the number of pairs that a threshold at a bin's edge accepts, but for pairs within a
//! rounding error of the edge. Between unit vectors that error is below 1e-5, a fiftieth of a bin, for near-duplicates
//! too (`tests/eval/offset.rs`): their distances are summed from differences ([`super::distance`]), as the product form
//! is off by up to 5e-4 there, a whole bin. **Not exact**: the distribution within a bin is unknown, so a threshold for
//! a false-accept rate can be one bin too small, and area and equal error rate come with the bounds that the bins
//! allow; these bounds do not include rounding.

use super::distance::{Block, Distances, Origin};
use super::{Protocol, same_camera};
use crate::Result;
use crate::device::Device;
use crate::files;
use crate::weights::{Features, normalise_rows};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;

/// Number of bins; between unit vectors a bin is 2 / 4096, about 0.0005, wide.
pub const BINS: usize = 4096;
/// Smallest number of false accepts for which a false-accept rate is stated: with ten, the rate's relative error is
/// about a third.
pub const ACCEPTS: f64 = 10.0;

/// Histograms of the distances of all pairs that count.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    width: f64,
    same: Vec<u64>,
    different: Vec<u64>,
}

/// Operating point: a threshold on the distance and its error rates. A pair below the threshold is accepted as one
/// person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint {
    /// Distance below which a pair is accepted, not squared; always a bin's edge.
    pub threshold: f64,
    /// False-accept rate: the share of negative pairs that are accepted.
    pub far: f64,
    /// True-accept rate: the share of positive pairs that are accepted, 1 - FRR.
    pub tar: f64,
}

/// Equal error rate: the rate at which false accepts and false rejects are equally frequent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EqualError {
    /// The rate, by linear interpolation between the bins' edges.
    pub rate: f64,
    /// Distance threshold at this rate.
    pub threshold: f64,
    /// Lower and upper bound of the rate, for any distribution within the bin.
    pub bounds: (f64, f64),
}

/// Area under the ROC curve with its largest error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Probability that a positive pair is nearer than a negative pair; equal distances count half.
    pub value: f64,
    /// Largest error of the value, due to pairs that share a bin.
    pub off_by: f64,
}

impl Pairs {
    /// Counts the pairs of `query` and `gallery`, with distances computed on `device`.
    ///
    /// # Errors
    /// As [`Features::require_comparable`]; an error of the device.
    pub fn count(query: &Features, gallery: &Features, protocol: &Protocol, device: &Device) -> Result<Self> {
        query.require_comparable(gallery)?;
        let dim = query.dim();
        let values = |of: &Features| -> Result<Vec<f32>> {
            let mut values = files::copy(of.features(), "normalised features")?;
            normalise_rows(&mut values, dim);
            Ok(values)
        };
        let origin = Origin::of(gallery.features(), dim, protocol.normalise);
        let (rows, images, span) = if protocol.normalise {
            (Cow::Owned(values(query)?), Cow::Owned(values(gallery)?), 2.0)
        } else {
            // By the triangle inequality, no distance exceeds the sum of the two sides' largest distances from the
            // origin.
            let span = [query, gallery].map(|side| origin.farthest(side.features(), dim)).iter().sum();
            (Cow::Borrowed(query.features()), Cow::Borrowed(gallery.features()), span)
        };
        let span = if span > 0.0 { span } else { 1.0 };
        let rules = Rules::new(query, gallery, protocol);
        let scale = (BINS as f64 / span) as f32;
        let distances = Distances::measured_from(&origin, &rows, &images, dim, device)?;
        let mut pairs = Pairs::empty(span / BINS as f64);
        let mut block = Block::default();
        for index in 0..distances.blocks() {
            distances.compute(index, &mut block)?;
            let first = block.queries().start;
            let counted = block
                .new_queries()
                .into_par_iter()
                .fold(
                    || Pairs::empty(pairs.width),
                    |mut sum, person| {
                        sum.add_row(block.row(person - first), &rules, query, person, scale);
                        sum
                    },
                )
                .reduce(|| Pairs::empty(pairs.width), Pairs::plus);
            pairs = pairs.plus(counted);
        }
        Ok(pairs)
    }

    /// Creates histograms from given counts in each bin; bins are `width` wide and start at distance 0.
    ///
    /// # Panics
    /// If the lists differ in length or are empty, or `width` is not above 0.
    pub fn from_counts(width: f64, same: Vec<u64>, different: Vec<u64>) -> Self {
        assert!(same.len() == different.len() && !same.is_empty() && width > 0.0);
        Pairs { width, same, different }
    }

    fn empty(width: f64) -> Self {
        Pairs { width, same: vec![0; BINS], different: vec![0; BINS] }
    }

    fn plus(mut self, other: Self) -> Self {
        self.same.iter_mut().zip(other.same).for_each(|(sum, n)| *sum += n);
        self.different.iter_mut().zip(other.different).for_each(|(sum, n)| *sum += n);
        self
    }

    /// Counts one query's distances: first all as negative pairs, then corrects for positive pairs and junk.
    fn add_row(
        &mut self,
        row: super::distance::Row<'_>,
        rules: &Rules,
        query: &Features,
        person: usize,
        scale: f32,
    ) {
        let (pid, camid) = (query.pids()[person], query.camids()[person]);
        if pid == -1 {
            return;
        }
        let bin = |squared: f32| ((squared.sqrt() * scale) as usize).min(BINS - 1);
        row.pieces().flatten().for_each(|&squared| self.different[bin(squared)] += 1);
        rules.junk.iter().for_each(|&image| self.different[bin(row.at(image))] -= 1);
        for &(image, camera) in rules.images_of.get(&pid).into_iter().flatten() {
            let bin = bin(row.at(image));
            self.different[bin] -= 1;
            self.same[bin] += u64::from(!(rules.cameras && same_camera(camera, camid)));
        }
    }

    /// Width of a bin, in distance (not squared).
    pub fn bin_width(&self) -> f64 {
        self.width
    }

    /// Number of positive pairs in each bin; bin i holds distances from `i * bin_width()` up to the next edge.
    pub fn same(&self) -> &[u64] {
        &self.same
    }

    /// Number of negative pairs in each bin.
    pub fn different(&self) -> &[u64] {
        &self.different
    }

    /// Number of positive pairs.
    pub fn same_pairs(&self) -> u64 {
        self.same.iter().sum()
    }

    /// Number of negative pairs.
    pub fn different_pairs(&self) -> u64 {
        self.different.iter().sum()
    }

    /// The ROC curve: the operating point of each bin's edge, from accepting no pair to accepting all. `None` without
    /// positive or without negative pairs.
    pub fn roc(&self) -> Option<Vec<OperatingPoint>> {
        let (same, different) = (self.same_pairs(), self.different_pairs());
        if same == 0 || different == 0 {
            return None;
        }
        let (mut accepted, mut wrongly) = (0, 0);
        let mut curve = vec![OperatingPoint { threshold: 0.0, far: 0.0, tar: 0.0 }];
        curve.extend(self.same.iter().zip(&self.different).enumerate().map(|(bin, (s, d))| {
            accepted += s;
            wrongly += d;
            OperatingPoint {
                threshold: (bin + 1) as f64 * self.width,
                far: wrongly as f64 / different as f64,
                tar: accepted as f64 / same as f64,
            }
        }));
        Some(curve)
    }

    /// The area under the ROC curve.
    pub fn auc(&self) -> Option<Area> {
        let all = self.same_pairs() as f64 * self.different_pairs() as f64;
        if all == 0.0 {
            return None;
        }
        let (mut nearer, mut right, mut together) = (0.0, 0.0, 0.0);
        for (&same, &different) in self.same.iter().zip(&self.different) {
            let (same, different) = (same as f64, different as f64);
            right += different * (nearer + same / 2.0);
            together += different * same / 2.0;
            nearer += same;
        }
        Some(Area { value: right / all, off_by: together / all })
    }

    /// The equal error rate.
    pub fn eer(&self) -> Option<EqualError> {
        let curve = self.roc()?;
        // Where all pairs are accepted, FAR is 1 and FRR is 0, so the curves cross.
        let after = curve.iter().position(|point| point.far >= 1.0 - point.tar)?;
        let (b, a) = (curve[after], curve[after.saturating_sub(1)]);
        let (gap_before, gap_after) = (1.0 - a.tar - a.far, b.far - (1.0 - b.tar));
        let share = if gap_before + gap_after > 0.0 { gap_before / (gap_before + gap_after) } else { 0.0 };
        Some(EqualError {
            rate: a.far + share * (b.far - a.far),
            threshold: a.threshold + share * (b.threshold - a.threshold),
            bounds: (a.far.max(1.0 - b.tar), b.far.min(1.0 - a.tar)),
        })
    }

    /// The operating point with the largest threshold whose false-accept rate is at most `far`.
    pub fn at_far(&self, far: f64) -> Option<OperatingPoint> {
        self.roc()?.into_iter().rfind(|point| point.far <= far)
    }

    /// True if there are enough negative pairs to state the false-accept rate `far` ([`ACCEPTS`]).
    pub fn supports(&self, far: f64) -> bool {
        self.different_pairs() as f64 * far >= ACCEPTS * (1.0 - 1e-12)
    }
}

/// Gallery images that do not simply form negative pairs.
struct Rules {
    /// True if images of the query's own camera are dropped.
    cameras: bool,
    /// Rows of junk images.
    junk: Vec<usize>,
    /// Rows and cameras of each person's images.
    images_of: HashMap<i64, Vec<(usize, i64)>>,
}

impl Rules {
    fn new(query: &Features, gallery: &Features, protocol: &Protocol) -> Self {
        let mut images_of: HashMap<i64, Vec<(usize, i64)>> = HashMap::new();
        let mut junk = Vec::new();
        for (image, (&pid, &camera)) in gallery.pids().iter().zip(gallery.camids()).enumerate() {
            match pid {
                -1 => junk.push(image),
                pid => images_of.entry(pid).or_default().push((image, camera)),
            }
        }
        Rules { cameras: protocol.counts_cameras(query, gallery), junk, images_of }
    }
}
