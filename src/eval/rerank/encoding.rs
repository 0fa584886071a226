//! k-reciprocal encoding: a sparse vector of N weights for each of the N images (sections 3.2 to 3.4 of the paper).
//!
//! Book: [chapter 18](../../../../../../docs/book/src/18-evaluation.md).

use super::samples::Samples;
use super::{Neighbours, Rerank, share};
use rayon::prelude::*;

/// The non-zero weights of one image, in ascending order of their index.
pub type Weights = Vec<(u32, f32)>;

/// The weights of each image.
pub struct Encoding(Vec<Weights>);

impl Encoding {
    pub(super) fn new(samples: &Samples<'_>, neighbours: &Neighbours, settings: &Rerank) -> Self {
        let images = 0..samples.len();
        let weights =
            images.clone().into_par_iter().map(|i| weights(samples, neighbours, i, settings.k1)).collect();
        if settings.k2 == 1 {
            return Encoding(weights);
        }
        let mean = |i| mean(&weights, neighbours.nearest(i, settings.k2));
        Encoding(images.into_par_iter().map(mean).collect())
    }

    /// Splits off the images from `at` on.
    pub(super) fn split_off(&mut self, at: usize) -> Encoding {
        Encoding(self.0.split_off(at))
    }

    pub(super) fn row(&self, index: usize) -> &Weights {
        &self.0[index]
    }

    pub(super) fn rows(&self) -> &[Weights] {
        &self.0
    }
}

// ANCHOR: reciprocal
/// R(p, k), the reciprocal neighbours: the images among the `k` nearest of image `index` that have image `index` among
/// their own `k` nearest. An image is its own nearest one and does not count, so each list has one more.
fn reciprocal(neighbours: &Neighbours, index: usize, k: usize) -> Vec<u32> {
    let found_back = |&&j: &&u32| neighbours.nearest(j as usize, k + 1).contains(&(index as u32));
    neighbours.nearest(index, k + 1).iter().filter(found_back).copied().collect()
}
// ANCHOR_END: reciprocal

// ANCHOR: expanded
/// R*(p, k1), the expanded reciprocal neighbours, ascending: R(p, k1), and R(q, k1 / 2) of each q in R(p, k1) where
/// more than two thirds of R(q, k1 / 2) are in R(p, k1). (In the paper exactly two thirds suffice, in the authors'
/// program they do not.)
fn expanded(neighbours: &Neighbours, index: usize, k1: usize) -> Vec<u32> {
    // The authors' program rounds halves to the even number.
    let half = (k1 as f64 / 2.0).round_ties_even() as usize;
    let own = reciprocal(neighbours, index, k1);
    let mut all = own.clone();
    for &candidate in &own {
        let theirs = reciprocal(neighbours, candidate as usize, half);
        let common = theirs.iter().filter(|j| own.contains(j)).count();
        if 3 * common > 2 * theirs.len() {
            all.extend(theirs);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
// ANCHOR_END: expanded

/// Weights exp(-d) of the expanded set, divided by their sum as in the authors' program. An image with more copies than
/// its list holds may be missing from its own list, and then has no weights.
fn weights(samples: &Samples<'_>, neighbours: &Neighbours, index: usize, k1: usize) -> Weights {
    let farthest = f64::from(neighbours.farthest(index));
    let weight = |&j: &u32| {
        let known = neighbours.squared_distance(index, j);
        let distance = known.unwrap_or_else(|| samples.squared_distance(index, j as usize));
        (-share(distance, farthest)).exp()
    };
    let members = expanded(neighbours, index, k1);
    let weights: Vec<f64> = members.iter().map(weight).collect();
    let sum: f64 = weights.iter().sum();
    members.into_iter().zip(weights).map(|(j, weight)| (j, (weight / sum) as f32)).collect()
}

/// Local query expansion: the mean of the weights of the images `of`.
fn mean(weights: &[Weights], of: &[u32]) -> Weights {
    let mut all: Vec<(u32, f32)> = of.iter().flat_map(|&i| &weights[i as usize]).copied().collect();
    // The sort is stable, so that each sum has one order.
    all.sort_by_key(|&(index, _)| index);
    let sums = all.chunk_by(|a, b| a.0 == b.0);
    sums.map(|same| {
        let sum: f64 = same.iter().map(|&(_, weight)| f64::from(weight)).sum();
        (same[0].0, (sum / of.len() as f64) as f32)
    })
    .collect()
}
