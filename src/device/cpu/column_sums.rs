//! Column sums of a row-major matrix, several per column in one pass: statistics and gradients of channels.
//!
//! The partial sums of a few columns over a few rows stay in registers; otherwise every element would cost a load and
//! a store of its sums.

use super::simd::vectorized;
use crate::element::Real;
use std::ops::Range;

/// Rows that are summed in registers before the sums in memory are updated.
const ROWS: usize = 8;

/// A source of addends: each element of a matrix gives one addend to each of the `K` sums of its column.
pub trait Addends<const K: usize> {
    /// The addends of the `L` elements from index `at`, of the columns from `column`.
    fn get<const L: usize>(&mut self, at: usize, column: usize) -> [[f32; L]; K];
}

/// The `L` values of `values` from index `at` on, in f32.
///
/// # Panics
/// If there are fewer than `L`.
#[inline(always)]
pub fn lanes<const L: usize, E: Real>(values: &[E], at: usize) -> [f32; L] {
    values[at..].first_chunk().expect("columns are cut into whole lanes").map(Real::widen)
}

/// Overwrites `sums` `[K, C]` with the sums of every column over `rows` rows.
pub fn sum_rows<const K: usize>(addends: &mut impl Addends<K>, rows: usize, sums: &mut [f32]) {
    sums.fill(0.0);
    vectorized(
        #[inline(always)]
        || {
            for row in (0..rows).step_by(ROWS) {
                let rows = row..rows.min(row + ROWS);
                let at = columns::<16, K>(addends, &rows, sums, 0);
                let at = columns::<4, K>(addends, &rows, sums, at);
                columns::<1, K>(addends, &rows, sums, at);
            }
        },
    );
}

/// Adds up the columns from `from` on in whole groups of `L`; returns the first column that is left.
#[inline(always)]
fn columns<const L: usize, const K: usize>(
    addends: &mut impl Addends<K>,
    rows: &Range<usize>,
    sums: &mut [f32],
    from: usize,
) -> usize {
    let c = sums.len() / K;
    let end = c - (c - from) % L;
    for at in (from..end).step_by(L) {
        let mut sum = [[0.0; L]; K];
        for row in rows.clone() {
            let addends = addends.get::<L>(row * c + at, at);
            for (sum, addends) in sum.iter_mut().zip(&addends) {
                sum.iter_mut().zip(addends).for_each(|(s, a)| *s += a);
            }
        }
        for (k, sum) in sum.iter().enumerate() {
            sums[k * c + at..][..L].iter_mut().zip(sum).for_each(|(to, s)| *to += s);
        }
    }
    end
}
