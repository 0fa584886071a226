//! Re-ranking with full matrices. Images 0 to queries - 1 are the queries, the others the gallery.

/// Which share of R(q, k1/2) must be in R(p, k1), so that it is added to R(p, k1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TwoThirds {
    /// More than two thirds, as in the published programs.
    Greater,
    /// Two thirds or more, as in the paper.
    GreaterOrEqual,
}

/// Settings of re-ranking.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Neighbours of an image, without itself. k1 / 2 is rounded to the even number if it is a half.
    pub k1: usize,
    /// Images whose weights are averaged: the image itself and its k2 - 1 nearest.
    pub k2: usize,
    pub lambda: f64,
    pub rule: TwoThirds,
}

/// The final distances of each query (a row) to the gallery. `squared` has the squared distances of all images to all
/// images, of which no two of a row are equal. In the weights and in the final distance, d is the squared distance
/// divided by the largest one of its row.
pub fn rerank(squared: &[Vec<f64>], queries: usize, settings: Settings) -> Vec<Vec<f64>> {
    todo!("{queries} rows of {} numbers, with {settings:?}", squared.len() - queries)
}
