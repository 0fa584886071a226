//! Query and gallery as one list of images, without a copy.

use crate::device::cpu::simd::vectorized;

/// The features of all N images: those of the query, then those of the gallery.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    query: &'a [f32],
    gallery: &'a [f32],
    pub dim: usize,
}

impl<'a> Samples<'a> {
    /// # Panics
    /// If one is empty or not made of rows of `dim` values.
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

    /// Where the query and the gallery begin, and their rows.
    pub fn sides(&self) -> [(usize, &'a [f32]); 2] {
        [(0, self.query), (self.queries(), self.gallery)]
    }

    pub fn row(&self, index: usize) -> &'a [f32] {
        match index.checked_sub(self.queries()) {
            None => &self.query[index * self.dim..][..self.dim],
            Some(index) => &self.gallery[index * self.dim..][..self.dim],
        }
    }

    /// The sum of squared differences: exactly 0 between equal rows, the same whichever comes first, and right
    /// where ||a||^2 + ||b||^2 - 2 a.b has lost all digits.
    pub fn squared_distance(&self, a: usize, b: usize) -> f64 {
        /// Sums side by side: the vectors that hide an addition's latency.
        const SUMS: usize = 16;
        let (a, b) = (self.row(a), self.row(b));
        vectorized(
            #[inline(always)]
            || {
                let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SUMS>(), b.as_chunks::<SUMS>());
                let mut sums = [0.0f64; SUMS];
                for (a, b) in a.iter().zip(b) {
                    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
                        let difference = f64::from(a) - f64::from(b);
                        *sum += difference * difference;
                    }
                }
                let difference = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
                let rest = a_rest.iter().zip(b_rest).map(difference).map(|d| d * d).sum::<f64>();
                sums.iter().sum::<f64>() + rest
            },
        )
    }
}
