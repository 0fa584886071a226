//! k-reciprocal re-ranking: Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal
//! Encoding" (CVPR 2017).
//!
//! Two images that are in each other's lists of nearest images show the same person more often than two images of which
//! only one lists the other. Each of the N images, query and gallery together, is therefore described by a vector of N
//! weights that are non-zero only for its reciprocal neighbours (`rerank/encoding.rs`). The Jaccard distance of two
//! such vectors, mixed with the original distance, ranks the gallery again:
//!
//! final = (1 - lambda) * jaccard + lambda * original.
//!
//! Original distances here and in the weights are **squared** Euclidean distances, each divided by the largest
//! one from its image to any of the N. The authors' Python takes Euclidean distances and squares them itself;
//! torchreid passes it squared distances, so distances there are squared twice and its figures differ.
//!
//! Other implementations hold several N x N matrices. Here the distances are computed a block at a time, once to find
//! the nearest images of every image ([`Neighbours`]) and once more, for the queries only, to be mixed with the Jaccard
//! distances; only a short list and a sparse vector of each image are stored.
//!
//! Equal distances are put in the order of the images, queries first. Equal gallery images get exactly equal
//! final distances, unless a list of nearest images ends among them. The result does not depend on the number of
//! threads.
//!
//! Book: [chapter 18](../../../../../docs/book/src/18-evaluation.md).

mod encoding;
mod jaccard;
mod neighbours;
mod samples;

pub use neighbours::Neighbours;

use super::distance::{Block, Distances};
use crate::device::Device;
use crate::device::cpu::simd::vectorized;
use crate::{Error, Result};
use encoding::Encoding;
use jaccard::InvertedIndex;
use rayon::prelude::*;
use samples::Samples;
use serde::{Deserialize, Serialize};

/// Largest k1 and k2: longer lists of neighbours would need as much memory as the N x N matrices that they replace.
pub const MAX_NEIGHBOURS: usize = 1000;

/// Settings of k-reciprocal re-ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rerank {
    /// Number of nearest images, without the image itself, among which its reciprocal neighbours are sought.
    pub k1: usize,
    /// Number of nearest images, the image itself included, whose weights are averaged; 1 switches averaging off.
    pub k2: usize,
    /// Share of the original distance in the final distance, from 0 to 1.
    pub lambda: f64,
}

impl Default for Rerank {
    /// The paper's settings for Market-1501.
    fn default() -> Self {
        Rerank { k1: 20, k2: 6, lambda: 0.3 }
    }
}

impl Rerank {
    /// Checks that all settings are in range.
    ///
    /// # Errors
    /// [`Error::Config`] with the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        for (name, value) in [("k1", self.k1), ("k2", self.k2)] {
            if !(1..=MAX_NEIGHBOURS).contains(&value) {
                return Err(Error::Config(format!(
                    "re-ranking: {name} is {value}; it counts neighbours and must be from 1 to {MAX_NEIGHBOURS}"
                )));
            }
        }
        if !(0.0..=1.0).contains(&self.lambda) {
            return Err(Error::Config(format!(
                "re-ranking: lambda is {}; it is the original distance's share and must be from 0 to 1",
                self.lambda
            )));
        }
        Ok(())
    }

    /// Number of nearest images that must be known of each image, the image itself included.
    pub fn neighbours(&self) -> usize {
        (self.k1 + 1).max(self.k2)
    }
}

/// Re-ranked distances between all queries and the whole gallery, computed a block of queries at a time.
pub struct Reranked<'a> {
    lambda: f64,
    original: Distances<'a>,
    /// Largest squared distance of each query to any image.
    farthest: Vec<f32>,
    /// Weights of the queries.
    queries: Encoding,
    /// Weights of the gallery.
    gallery: InvertedIndex,
}

impl<'a> Reranked<'a> {
    /// Finds the neighbours and computes the weights for the rows of `query` [Q, dim] and `gallery` [G, dim], all
    /// finite.
    ///
    /// # Errors
    /// As [`Rerank::check`]; squared distances that are not finite; an error of the device.
    ///
    /// # Panics
    /// If one side is empty or not made of rows of `dim` values.
    pub fn new(
        query: &'a [f32],
        gallery: &'a [f32],
        dim: usize,
        settings: &Rerank,
        device: &Device,
    ) -> Result<Self> {
        settings.check()?;
        let neighbours = Neighbours::find(query, gallery, dim, settings.neighbours(), device)?;
        Reranked::from_neighbours(query, gallery, dim, settings, &neighbours, device)
    }

    /// As [`Reranked::new`] with neighbours found before, so that several settings can share them. The neighbours must
    /// be of the same features, at least [`Rerank::neighbours`] for each image.
    ///
    /// # Errors
    /// As [`Reranked::new`].
    ///
    /// # Panics
    /// If the neighbours are of another number of images or too few.
    pub fn from_neighbours(
        query: &'a [f32],
        gallery: &'a [f32],
        dim: usize,
        settings: &Rerank,
        neighbours: &Neighbours,
        device: &Device,
    ) -> Result<Self> {
        settings.check()?;
        let samples = Samples::new(query, gallery, dim);
        let needed = settings.neighbours().min(samples.len());
        assert!(
            neighbours.len() == samples.len() && neighbours.kept() >= needed,
            "neighbours of other features"
        );
        let mut queries = Encoding::new(&samples, neighbours, settings);
        let gallery_weights = queries.split_off(samples.queries());
        Ok(Reranked {
            lambda: settings.lambda,
            original: Distances::new(query, gallery, dim, device)?,
            farthest: (0..samples.queries()).map(|i| neighbours.farthest(i)).collect(),
            queries,
            gallery: InvertedIndex::new(&gallery_weights, samples.len()),
        })
    }

    /// Number of blocks, as in [`Distances`].
    pub fn blocks(&self) -> usize {
        self.original.blocks()
    }

    /// Computes block `index`; its rows hold final distances, from 0 to 1 but for rounding.
    ///
    /// # Errors
    /// An error of the device.
    ///
    /// # Panics
    /// If there is no block `index`.
    pub fn compute(&self, index: usize, block: &mut Block) -> Result<()> {
        self.original.compute(index, block)?;
        let (first, images) = (block.queries().start, self.gallery.images());
        let mut last = vec![0.0; block.queries().len() * images];
        last.par_chunks_exact_mut(images).enumerate().for_each_init(Vec::new, |overlaps, (row, last)| {
            let query = first + row;
            self.gallery.overlaps(self.queries.row(query), overlaps);
            let factors = [1.0 - self.lambda, self.lambda * share(1.0, f64::from(self.farthest[query]))];
            let mut at = 0;
            for piece in block.row(row).pieces() {
                let part = at..at + piece.len();
                at = part.end;
                mix(&mut last[part.clone()], &overlaps[part], piece, factors);
            }
        });
        block.replace(last);
        Ok(())
    }
}

/// Weighted sum of Jaccard distances and squared distances.
fn mix(last: &mut [f32], overlaps: &[f64], squared: &[f32], [jaccard, original]: [f64; 2]) {
    vectorized(
        #[inline(always)]
        || {
            for ((last, &overlap), &squared) in last.iter_mut().zip(overlaps).zip(squared) {
                *last = (jaccard * jaccard::distance(overlap) + original * f64::from(squared)) as f32;
            }
        },
    );
}

/// Squared distance divided by the largest one; 0 where all images are equal.
fn share(distance: f64, farthest: f64) -> f64 {
    if farthest > 0.0 { distance / farthest } else { 0.0 }
}
