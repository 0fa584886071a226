//! Principal components: features in two dimensions, for maps of a data set.
//!
//! Subspace iteration on the covariance (Rutishauser 1970) with a few more vectors than components: each iteration
//! multiplies the vectors with the centred features and their transpose and makes them orthonormal. The covariance
//! itself, 2,048 x 2,048 for ResNet-50, is never formed. The start is drawn from a fixed seed and sums have a fixed
//! order, so the same features give the same map.

use crate::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;

/// Number of vectors that are iterated.
const VECTORS: usize = 8;
/// Number of iterations: components whose variances differ by 10 % are apart by a factor of 10^7 then.
const ITERATIONS: usize = 80;

/// Features in two dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// The point of each row.
    pub points: Vec<[f64; 2]>,
    /// Shares of the total variance of both components; 0 if all rows are equal.
    pub explained: [f64; 2],
}

/// Projects rows of `dim` values onto their two principal components. Of both directions of a component, the one is
/// taken in which the farthest point is positive.
///
/// # Panics
/// If `dim` is 0 or does not divide the number of values.
pub fn project(values: &[f32], dim: usize) -> Projection {
    assert!(dim > 0 && values.len().is_multiple_of(dim));
    let rows = values.len() / dim;
    let mut mean = vec![0.0f64; dim];
    for row in values.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value) / rows.max(1) as f64);
    }
    let centred: Vec<f64> = values.iter().enumerate().map(|(at, v)| f64::from(*v) - mean[at % dim]).collect();
    let total: f64 = centred.iter().map(|v| v * v).sum();
    let vectors = VECTORS.min(dim);
    let draw = Philox::new(0, 0, 0, RngStream::Report);
    let mut basis: Vec<Vec<f64>> = (0..vectors)
        .map(|v| (0..dim).map(|i| f64::from(draw.uniform((v * dim + i) as u32)) - 0.5).collect())
        .collect();
    orthonormalise(&mut basis);
    for _ in 0..ITERATIONS {
        basis = multiply_transposed(&centred, dim, &multiply(&centred, dim, &basis));
        orthonormalise(&mut basis);
    }
    // The vectors span the components; within them the components are the eigenvectors of a small matrix.
    let scores = multiply(&centred, dim, &basis);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let small: Vec<Vec<f64>> =
        scores.iter().map(|a| scores.iter().map(|b| product(a, b)).collect()).collect();
    let mut found = eigenvectors(small);
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.resize(2.max(found.len()), (0.0, vec![0.0; vectors]));
    let component = |(_, weights): &(f64, Vec<f64>)| -> Vec<f64> {
        let at = |row: usize| weights.iter().zip(&scores).map(|(w, s)| w * s[row]).sum::<f64>();
        let places: Vec<f64> = (0..rows).map(at).collect();
        let farthest =
            places.iter().copied().fold(0.0, |far: f64, p| if p.abs() > far.abs() { p } else { far });
        let sign = if farthest < 0.0 { -1.0 } else { 1.0 };
        places.into_iter().map(|place| sign * place).collect()
    };
    let (first, second) = (component(&found[0]), component(&found[1]));
    let share = |of: f64| if total > 0.0 { (of / total).clamp(0.0, 1.0) } else { 0.0 };
    Projection {
        points: first.into_iter().zip(second).map(|(x, y)| [x, y]).collect(),
        explained: [share(found[0].0), share(found[1].0)],
    }
}

/// Products of all rows with each vector: one list for each vector.
fn multiply(rows: &[f64], dim: usize, vectors: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let product = |vector: &Vec<f64>| {
        rows.par_chunks_exact(dim).map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
    };
    vectors.iter().map(product).collect()
}

/// The sums of the rows with the weights of each list.
fn multiply_transposed(rows: &[f64], dim: usize, weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let sum = |weights: &Vec<f64>| {
        let mut sum = vec![0.0; dim];
        for (row, weight) in rows.chunks_exact(dim).zip(weights) {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
        }
        sum
    };
    weights.par_iter().map(sum).collect()
}

/// Makes vectors orthonormal (Gram-Schmidt, twice for accuracy); a vector that depends on the others becomes 0.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for at in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(at);
        let own = &mut rest[0];
        let before = own.iter().map(|v| v * v).sum::<f64>().sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let along: f64 = own.iter().zip(other).map(|(a, b)| a * b).sum();
                own.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let length = own.iter().map(|v| v * v).sum::<f64>().sqrt();
        let scale = if length > 1e-12 * before { 1.0 / length } else { 0.0 };
        own.iter_mut().for_each(|value| *value *= scale);
    }
}

/// Eigenvalues with eigenvectors of a symmetric matrix (Jacobi's rotations).
fn eigenvectors(mut matrix: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = matrix.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let off = matrix[p][q];
                if off.abs() <= f64::EPSILON * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
                    continue;
                }
                let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = tangent * cosine;
                for row in matrix.iter_mut().chain(&mut vectors) {
                    let (a, b) = (row[p], row[q]);
                    (row[p], row[q]) = (cosine * a - sine * b, sine * a + cosine * b);
                }
                let (upper, lower) = matrix.split_at_mut(q);
                for (a, b) in upper[p].iter_mut().zip(&mut lower[0]) {
                    (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
                }
            }
        }
    }
    (0..n).map(|i| (matrix[i][i], vectors.iter().map(|row| row[i]).collect())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with given deviations along turned axes.
    fn cloud(rows: u32, deviations: &[f32]) -> Vec<f32> {
        let draw = Philox::new(5, 0, 0, RngStream::Test);
        let dim = deviations.len();
        let mut values = Vec::new();
        for row in 0..rows {
            let own: Vec<f32> =
                (0..dim).map(|i| deviations[i] * draw.normal(row * dim as u32 + i as u32)).collect();
            // A reflection, which keeps lengths, mixes all values; the mean is away from 0.
            let along: f32 = own.iter().sum::<f32>() * 2.0 / dim as f32;
            values.extend(own.iter().map(|value| value - along + 7.0));
        }
        values
    }

    #[test]
    fn the_largest_two_deviations_are_found() {
        let deviations = [0.1, 3.0, 0.2, 1.5, 0.1, 0.05, 0.3, 0.1, 0.2, 0.1, 0.1, 0.1];
        let values = cloud(4000, &deviations);
        let found = project(&values, deviations.len());
        let total: f32 = deviations.iter().map(|d| d * d).sum();
        assert!((found.explained[0] - f64::from(9.0 / total)).abs() < 0.02, "{:?}", found.explained);
        assert!((found.explained[1] - f64::from(2.25 / total)).abs() < 0.02, "{:?}", found.explained);
        let n = found.points.len() as f64;
        let mean = |of: fn(&[f64; 2]) -> f64| found.points.iter().map(of).sum::<f64>() / n;
        assert!(mean(|p| p[0]).abs() < 1e-6 && mean(|p| p[1]).abs() < 1e-6);
        assert!((mean(|p| p[0] * p[0]) - 9.0).abs() < 0.5 && mean(|p| p[0] * p[1]).abs() < 1e-6);
        assert_eq!(found, project(&values, deviations.len()), "the same map twice");
    }

    #[test]
    fn distances_in_a_plane_are_kept() {
        let plane: Vec<f32> = cloud(50, &[2.0, 1.0, 0.0, 0.0, 0.0]);
        let found = project(&plane, 5);
        assert!((found.explained[0] + found.explained[1] - 1.0).abs() < 1e-9, "{:?}", found.explained);
        for (i, j) in [(0, 1), (3, 40), (12, 13)] {
            let far: f32 = (0..5).map(|k| (plane[5 * i + k] - plane[5 * j + k]).powi(2)).sum::<f32>().sqrt();
            let (a, b) = (found.points[i], found.points[j]);
            let on_map = ((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)).sqrt();
            assert!((f64::from(far) - on_map).abs() < 1e-4, "{far} and {on_map}");
        }
    }

    #[test]
    fn one_dimension_equal_rows_and_one_row() {
        assert_eq!(
            project(&[1.0, 3.0], 1),
            Projection { points: vec![[1.0, 0.0], [-1.0, 0.0]], explained: [1.0, 0.0] }
        );
        let equal = project(&[0.5; 12], 3);
        assert_eq!((equal.points, equal.explained), (vec![[0.0, 0.0]; 4], [0.0, 0.0]));
        assert_eq!(project(&[1.0, 2.0], 2).points, [[0.0, 0.0]]);
    }
}
