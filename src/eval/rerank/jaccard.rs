//! The Jaccard distance of two images' weights, by way of an inverted index of the gallery.
//!
//! An image's weights add up to 1, so that two images' sum of maxima is 2 less their sum of minima, the overlap. Most
//! pairs have none: only images that share a neighbour with the query are touched.

use super::encoding::Encoding;

/// Who in the gallery has a weight at an index.
pub struct InvertedIndex {
    /// Where the entries of each of the N indices begin, and an end.
    starts: Vec<usize>,
    /// Gallery images and their weights.
    entries: Vec<(u32, f32)>,
    images: usize,
}

impl InvertedIndex {
    /// Of the gallery's weights, each with an index below `n`.
    pub fn new(gallery: &Encoding, n: usize) -> Self {
        let mut starts = vec![0; n + 1];
        for &(index, _) in gallery.rows().iter().flatten() {
            starts[index as usize + 1] += 1;
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let (mut next, mut entries) = (starts.clone(), vec![(0, 0.0); starts[n]]);
        for (image, weights) in gallery.rows().iter().enumerate() {
            for &(index, weight) in weights {
                let at = &mut next[index as usize];
                entries[*at] = (image as u32, weight);
                *at += 1;
            }
        }
        InvertedIndex { starts, entries, images: gallery.rows().len() }
    }

    /// How many images the gallery has.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Fills `overlaps` [G] with the sums of minima of the query's weights and each gallery image's.
    pub fn overlaps(&self, query: &[(u32, f32)], overlaps: &mut Vec<f64>) {
        overlaps.clear();
        overlaps.resize(self.images, 0.0);
        for &(index, weight) in query {
            let at = index as usize;
            for &(image, other) in &self.entries[self.starts[at]..self.starts[at + 1]] {
                overlaps[image as usize] += f64::from(weight.min(other));
            }
        }
    }
}

/// 1 less the sum of minima by the sum of maxima; rounding does not take it below 0.
#[inline(always)]
pub fn distance(overlap: f64) -> f64 {
    (1.0 - overlap / (2.0 - overlap)).max(0.0)
}
