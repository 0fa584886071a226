//! Is this the same person? Distances of pairs of one identity and of pairs of two, counted in fine bins, and what a
//! threshold on the distance makes of them.
//!
//! A pair is a query and a gallery image. What counts is what counts in the ranking ([`super::Protocol`]): pairs with junk
//! (pid -1) are left out, and so are pairs of one identity under one camera where cameras are known; a
//! distractor (pid 0) is somebody else to every query of a person.
//!
//! Market-1501 has 53 million such pairs, so they are counted, not kept: a block of queries at a time, into
//! [`BINS`] bins of equal width. **What is exact**: a threshold at a bin's edge accepts the pairs below it, and
//! their number is exact but for pairs within a rounding error of the edge. Between unit vectors that error is below 1e-5,
//! a fiftieth of a bin, for near-duplicates too (`tests/eval/offset.rs`): their distances are summed from differences
//! ([`super::distance`]), as the product form is off by up to 5e-4 there, a whole bin. **What is not**: between two edges
//! nothing is known, so a threshold for a false-accept rate can be one bin too small, and area and equal error rate come
//! with the bounds that the bins allow, which know nothing of rounding.

use super::distance::{Block, Distances, Origin};
use super::{Protocol, same_camera};
use crate::Result;
use crate::device::Device;
use crate::weights::{Features, normalise_rows};
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashMap;

/// How many bins there are; between unit vectors one is 2 / 4096, about 0.0005, wide.
pub const BINS: usize = 4096;
/// A false-accept rate is stated where at least this many false accepts make it up: with ten, a rate is known to
/// a third of itself or so.
pub const ACCEPTS: f64 = 10.0;

/// The distances of all pairs that count, in bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairs {
    width: f64,
    same: Vec<u64>,
    different: Vec<u64>,
}

/// What a threshold does: a pair nearer than it is accepted as one person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operating {
    /// The un-squared distance below which a pair is accepted; always a bin's edge.
    pub threshold: f64,
    /// The share of pairs of two identities that are accepted: the false-accept rate.
    pub far: f64,
    /// The share of pairs of one identity that are accepted: the true-accept rate, 1 - FRR.
    pub tar: f64,
}

/// The rate at which as many pairs of one identity are refused as pairs of two are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EqualError {
    /// Where the straight lines between the bins' edges cross.
    pub rate: f64,
    /// The distance there.
    pub threshold: f64,
    /// The rate lies between these two, whatever is inside the bin.
    pub bounds: (f64, f64),
}

/// An area with what it can be off by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The probability that a pair of one identity is nearer than a pair of two, equal distances counting half.
    pub value: f64,
    /// The true value differs by no more than this: the pairs that share a bin.
    pub off_by: f64,
}

impl Pairs {
    /// Counts the pairs of `query` and `gallery`, with distances computed on `device`.
    ///
    /// # Errors
    /// As [`Features::require_comparable`]; what the device reports.
    pub fn count(query: &Features, gallery: &Features, protocol: &Protocol, device: &Device) -> Result<Self> {
        query.require_comparable(gallery)?;
        let dim = query.dim();
        let values = |of: &Features| -> Vec<f32> {
            let mut values = of.features().to_vec();
            normalise_rows(&mut values, dim);
            values
        };
        let origin = Origin::of(gallery.features(), dim, protocol.normalise);
        let (rows, images, span) = if protocol.normalise {
            (Cow::Owned(values(query)), Cow::Owned(values(gallery)), 2.0)
        } else {
            // No distance is longer than the ways to the origin and from it.
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

    /// From counts a bin, each bin `width` wide, the first from distance 0 on.
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

    /// Counts one query's distances: first all as pairs of two identities, then what is not.
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

    /// How wide a bin is, as an un-squared distance.
    pub fn bin_width(&self) -> f64 {
        self.width
    }

    /// Pairs of one identity in each bin; bin i holds distances from `i * bin_width()` up to the next edge.
    pub fn same(&self) -> &[u64] {
        &self.same
    }

    /// Pairs of two identities in each bin.
    pub fn different(&self) -> &[u64] {
        &self.different
    }

    /// How many pairs of one identity there are.
    pub fn same_pairs(&self) -> u64 {
        self.same.iter().sum()
    }

    /// How many pairs of two identities there are.
    pub fn different_pairs(&self) -> u64 {
        self.different.iter().sum()
    }

    /// The whole ROC curve: what a threshold at each bin's edge does, from accepting nothing to accepting all. None
    /// where one of the two kinds of pairs is missing.
    pub fn roc(&self) -> Option<Vec<Operating>> {
        let (same, different) = (self.same_pairs(), self.different_pairs());
        if same == 0 || different == 0 {
            return None;
        }
        let (mut accepted, mut wrongly) = (0, 0);
        let mut curve = vec![Operating { threshold: 0.0, far: 0.0, tar: 0.0 }];
        curve.extend(self.same.iter().zip(&self.different).enumerate().map(|(bin, (s, d))| {
            accepted += s;
            wrongly += d;
            Operating {
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

    /// Where false accepts and false refusals are equally frequent.
    pub fn eer(&self) -> Option<EqualError> {
        let curve = self.roc()?;
        // Accepting all, false accepts are 1 and refusals 0: there is a first crossing.
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

    /// The largest edge at which no more than the share `far` of the pairs of two identities is accepted.
    pub fn at_far(&self, far: f64) -> Option<Operating> {
        self.roc()?.into_iter().rfind(|point| point.far <= far)
    }

    /// Whether there are enough pairs of two identities to speak of a false-accept rate that small ([`ACCEPTS`]).
    pub fn supports(&self, far: f64) -> bool {
        self.different_pairs() as f64 * far >= ACCEPTS * (1.0 - 1e-12)
    }
}

/// Which gallery images are not simply somebody else.
struct Rules {
    cameras: bool,
    junk: Vec<usize>,
    /// Image and camera.
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
