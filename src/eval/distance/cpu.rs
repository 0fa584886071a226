//! Distances on the CPU: a matrix product and its epilogue for each tile of the gallery.

use super::{CLOSE, Origin};
use crate::device::cpu::simd::vectorized;
use crate::device::cpu::{MatMut, MatRef, Split, gemm};
use crate::element::GradMode;
use rayon::prelude::*;

/// Feature rows with their squared distances from the origin.
pub struct Rows<'a> {
    /// Unshifted features: the origin is subtracted a tile at a time, so that a mapped gallery is not copied.
    values: &'a [f32],
    dim: usize,
    origin: Origin,
    squared_lengths: Vec<f32>,
}

impl<'a> Rows<'a> {
    pub fn new(values: &'a [f32], dim: usize, origin: &Origin) -> Self {
        let squared = |row: &[f32]| {
            origin.shifted(row).iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() as f32
        };
        let squared_lengths = values.par_chunks(dim).map(squared).collect();
        Rows { values, dim, origin: origin.clone(), squared_lengths }
    }

    /// The values and squared lengths of some rows.
    fn part(&self, first: usize, count: usize) -> (&[f32], &[f32]) {
        (&self.values[first * self.dim..][..count * self.dim], &self.squared_lengths[first..][..count])
    }
}

/// Fills `to` [tiles, rows, cols] with the distances of the queries from `first` on.
pub fn distances(
    query: &Rows<'_>,
    gallery: &Rows<'_>,
    first: usize,
    [rows, cols]: [usize; 2],
    to: &mut [f32],
) {
    let (images, dim) = (gallery.squared_lengths.len(), query.dim);
    let (q, q_squared) = query.part(first, rows);
    let shifted = query.origin.shifted(q);
    to.par_chunks_mut(rows * cols).enumerate().for_each(|(t, tile)| {
        let (g, g_squared) = gallery.part((t * cols).min(images - cols), cols);
        product(tile, &shifted, &gallery.origin.shifted(g), dim);
        let q_rows = q.chunks_exact(dim).zip(q_squared);
        for (row, (q, &q2)) in tile.chunks_exact_mut(cols).zip(q_rows) {
            if finish_distances(row, q2, g_squared) {
                for ((d, &g2), g) in row.iter_mut().zip(g_squared).zip(g.chunks_exact(dim)) {
                    if *d < CLOSE * (q2 + g2) {
                        *d = squared_distance(q, g) as f32;
                    }
                }
            }
        }
    });
}

/// Turns a row of products into squared distances; true if one of them is below [`CLOSE`].
fn finish_distances(row: &mut [f32], q2: f32, g_squared: &[f32]) -> bool {
    vectorized(
        #[inline(always)]
        || {
            let mut close = false;
            for (d, &g2) in row.iter_mut().zip(g_squared) {
                let squared = q2 + g2 - 2.0 * *d;
                close |= squared < CLOSE * (q2 + g2);
                *d = if squared > 0.0 { squared } else { 0.0 };
            }
            close
        },
    )
}

/// c [rows, cols] = q [rows, dim] g^T [dim, cols].
fn product(c: &mut [f32], q: &[f32], g: &[f32], dim: usize) {
    let (rows, cols) = (q.len() / dim, g.len() / dim);
    let (q, g) = (MatRef::new(q, rows, dim), MatRef::new(g, cols, dim).t());
    gemm(MatMut::new(c, rows, cols), GradMode::Overwrite, q, g, Split::Alone);
}

/// Sum of squared differences of two rows of one length, in f64: exactly 0 for equal rows, symmetric, and accurate
/// where ||a||^2 + ||b||^2 - 2 a.b has lost all digits.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    /// Number of independent partial sums, which hide the latency of an addition.
    const SUMS: usize = 16;
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
