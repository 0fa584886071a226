//! The k-reciprocal features: a sparse vector of N weights for each of the N images (sections 3.2 to 3.4 of the
//! paper).

use super::samples::Samples;
use super::{Neighbours, Rerank, share};
use rayon::prelude::*;

/// The weights of one image that are not zero, in ascending order of their index.
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

    /// Splits the images from `at` on off.
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

/// R(p, k): those of the `k` nearest images of image `index` that have it among their own `k` nearest.
/// An image is its own nearest one and does not count, so that each list has one more.
fn reciprocal(neighbours: &Neighbours, index: usize, k: usize) -> Vec<u32> {
    let found_back = |&&j: &&u32| neighbours.nearest(j as usize, k + 1).contains(&(index as u32));
    neighbours.nearest(index, k + 1).iter().filter(found_back).copied().collect()
}

/// R*(p, k1): the reciprocal neighbours, and those of each of them in half as long lists, where more than two
/// thirds of the latter are among the former. (Exactly two thirds are enough in the paper, but not in the authors'
/// program.) Ascending.
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

/// exp(-d) of the expanded set, divided by the sum as in the authors' program. An image with more copies than its list
/// holds may miss itself there, and then has no weights.
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

/// Local query expansion: the mean of some images' weights.
fn mean(weights: &[Weights], of: &[u32]) -> Weights {
    let mut all: Vec<(u32, f32)> = of.iter().flat_map(|&i| &weights[i as usize]).copied().collect();
    // Stable, so that each sum has one order.
    all.sort_by_key(|&(index, _)| index);
    let sums = all.chunk_by(|a, b| a.0 == b.0);
    sums.map(|same| {
        let sum: f64 = same.iter().map(|&(_, weight)| f64::from(weight)).sum();
        (same[0].0, (sum / of.len() as f64) as f32)
    })
    .collect()
}
