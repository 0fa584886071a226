//! Initial values of parameters: each parameter declares a distribution, and the seed alone determines the values.

use crate::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;

/// The distribution of a parameter's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same value for every element.
    Constant(f32),
    /// A normal distribution with mean 0 and this standard deviation.
    Normal(f32),
    /// A matrix of `rows` rows that are orthogonal and of length 1, or whose columns are, if there are fewer columns
    /// (Saxe et al. 2014), drawn uniformly from all such matrices.
    Orthogonal {
        /// Number of rows, at least 1.
        rows: usize,
    },
}

impl Init {
    /// The initialisation of filters `[K, R, S, C]` before a ReLU: normal, fan-out K R S, gain 2 (He et al. 2015).
    pub fn he_fan_out([k, r, s, _]: [usize; 4]) -> Self {
        Init::Normal((2.0 / (k * r * s) as f32).sqrt())
    }

    /// The initial values of parameter `number` with `n` elements, drawn from Philox(seed, 0, number, Init).
    pub(super) fn values(self, seed: u64, number: u64, n: usize) -> Vec<f32> {
        let stream = Philox::new(seed, 0, number, RngStream::Init);
        match self {
            Init::Normal(std) => (0..n).into_par_iter().map(|i| std * stream.normal(i as u32)).collect(),
            Init::Constant(value) => vec![value; n],
            Init::Orthogonal { rows } => {
                let columns = n / rows;
                let draw =
                    |row: usize, column: usize| f64::from(stream.normal((row * columns + column) as u32));
                if rows <= columns {
                    let own = orthonormal(rows, columns, draw);
                    own.into_iter().flatten().map(|value| value as f32).collect()
                } else {
                    let own = orthonormal(columns, rows, |column, row| draw(row, column));
                    (0..n).map(|i| own[i % columns][i / columns] as f32).collect()
                }
            }
        }
    }
}

/// `count` orthogonal vectors of length 1 with `length` values each, `length` at least `count`: those that `draw` gives
/// by (vector, place), made orthogonal by the modified Gram-Schmidt process in f64. Each vector is computed by one
/// thread at a time in a fixed order, so the values do not depend on the number of threads.
fn orthonormal(count: usize, length: usize, draw: impl Fn(usize, usize) -> f64 + Sync) -> Vec<Vec<f64>> {
    let mut vectors: Vec<Vec<f64>> =
        (0..count).into_par_iter().map(|v| (0..length).map(|at| draw(v, at)).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for v in 0..count {
        let (done, rest) = vectors.split_at_mut(v + 1);
        let own = &mut done[v];
        let norm = dot(own, own).sqrt();
        own.iter_mut().for_each(|value| *value /= norm);
        rest.par_iter_mut().for_each(|other| {
            let along = dot(own, other);
            other.iter_mut().zip(own.iter()).for_each(|(value, own)| *value -= along * own);
        });
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthogonal_rows_or_columns_have_length_1_and_no_common_direction() {
        for (rows, columns) in [(1, 1), (3, 7), (7, 3), (16, 16), (40, 130)] {
            let values = Init::Orthogonal { rows }.values(5, 2, rows * columns);
            assert_eq!(values.len(), rows * columns);
            let (count, length) = (rows.min(columns), rows.max(columns));
            let at = |v: usize, i: usize| {
                f64::from(if rows <= columns { values[v * columns + i] } else { values[i * columns + v] })
            };
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                let product: f64 = (0..length).map(|i| at(a, i) * at(b, i)).sum();
                let expected = f64::from(u8::from(a == b));
                assert!((product - expected).abs() < 1e-6, "{rows} x {columns}, {a} and {b}: {product}");
            }
            assert_eq!(Init::Orthogonal { rows }.values(5, 2, rows * columns), values);
            assert_ne!(Init::Orthogonal { rows }.values(6, 2, rows * columns), values);
        }
    }

    /// The first vector keeps the direction of its draws: the sign of each value is that of a fair draw, as Saxe's
    /// uniform distribution has it, and not fixed by the process.
    #[test]
    fn the_first_vector_is_the_drawn_one_at_length_1() {
        let stream = Philox::new(5, 0, 2, RngStream::Init);
        let drawn: Vec<f64> = (0..7).map(|i| f64::from(stream.normal(i))).collect();
        let length = drawn.iter().map(|v| v * v).sum::<f64>().sqrt();
        let values = Init::Orthogonal { rows: 3 }.values(5, 2, 21);
        for (value, drawn) in values.iter().zip(&drawn) {
            assert!((f64::from(*value) - drawn / length).abs() < 1e-6);
        }
    }
}
