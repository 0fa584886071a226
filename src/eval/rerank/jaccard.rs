//! The Jaccard distance of two images' weights, computed with an inverted index of the gallery.
//!
//! The weights of an image add up to 1, so the sum of maxima of two images is 2 minus their sum of minima, the overlap.
//! Most pairs have no overlap: only images that share a neighbour with the query are visited.
//!
//! Book: [chapter 18](../../../../../../docs/book/src/18-evaluation.md).

use super::encoding::Encoding;

/// Inverted index: for each of the N indices, the gallery images that have a weight there.
pub struct InvertedIndex {
    /// Start of the entries of each of the N indices, and the end of the last.
    starts: Vec<usize>,
    /// Gallery images and their weights.
    entries: Vec<(u32, f32)>,
    images: usize,
}

impl InvertedIndex {
    /// Builds the index of the gallery's weights, whose indices are below `n`.
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

    /// Number of gallery images.
    pub fn images(&self) -> usize {
        self.images
    }

    // ANCHOR: overlaps
    /// Fills `overlaps` [G] with the sums of minima of the query's weights and those of each gallery image.
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
    // ANCHOR_END: overlaps
}

/// Jaccard distance: 1 minus the sum of minima divided by the sum of maxima, and not below 0 by rounding.
#[inline(always)]
pub fn distance(overlap: f64) -> f64 {
    (1.0 - overlap / (2.0 - overlap)).max(0.0)
}
