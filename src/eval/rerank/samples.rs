//! Query and gallery as one list of images, without copying features.

use crate::eval::distance;

/// The features of all N images: those of the query, then those of the gallery.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    query: &'a [f32],
    gallery: &'a [f32],
    pub dim: usize,
}

impl<'a> Samples<'a> {
    /// Joins the two sides.
    ///
    /// # Panics
    /// If one side is empty or not made of rows of `dim` values.
    pub fn new(query: &'a [f32], gallery: &'a [f32], dim: usize) -> Self {
        for values in [query, gallery] {
            assert!(
                dim > 0 && !values.is_empty() && values.len().is_multiple_of(dim),
                "rows of {dim} values"
            );
        }
        Samples { query, gallery, dim }
    }

    pub fn queries(&self) -> usize {
        self.query.len() / self.dim
    }

    pub fn len(&self) -> usize {
        self.queries() + self.gallery.len() / self.dim
    }

    /// First index and features of the query and of the gallery.
    pub fn sides(&self) -> [(usize, &'a [f32]); 2] {
        [(0, self.query), (self.queries(), self.gallery)]
    }

    pub fn row(&self, index: usize) -> &'a [f32] {
        match index.checked_sub(self.queries()) {
            None => &self.query[index * self.dim..][..self.dim],
            Some(index) => &self.gallery[index * self.dim..][..self.dim],
        }
    }

    /// The squared distance of two images; see [`distance::squared_distance`].
    pub fn squared_distance(&self, a: usize, b: usize) -> f64 {
        distance::squared_distance(self.row(a), self.row(b))
    }
}
