//! Decomposition of a linear layer's weights (Sun et al. 2017, "SVDNet for Pedestrian Retrieval"): weight vectors that
//! are orthogonal, and distances of outputs that stay.
//!
//! W `[inputs, outputs]` has the weight vector of each output as a column, and W = U S V^T is its singular value
//! decomposition. The layer with the weights U S = W V has the outputs y V in place of y = x W. V is orthogonal, so all
//! distances and angles between outputs are the same as before. The columns of U S are orthogonal: no output repeats
//! what others say.
//!
//! V is computed as the eigenvectors of W^T W in f64, and W V by one product. The result is rounded to f32 once, so
//! distances stay up to the rounding of the new weights, whatever the accuracy of the eigenvectors.
//!
//! The decomposition leaves order and signs of the columns open. As the source's program does, each weight vector in
//! turn is replaced by the column that is nearest to it, of those that are left, by the absolute cosine of their angle;
//! its sign is that of the cosine. Equal ones go to the larger singular value. The layer behind, which is not changed,
//! then finds outputs that are like the old ones.

use nalgebra::DMatrix;

/// Most iterations of the eigenvectors for each output; two or three are usual.
const ITERATIONS: usize = 100;

/// A rotation of the outputs of a layer, perhaps with reflections.
#[derive(Clone, Debug)]
pub struct Decomposition {
    /// Row k holds the shares of the old outputs in the new output k.
    rotation: DMatrix<f64>,
    weight: DMatrix<f64>,
    /// S(W) of the old weights: see [`orthogonality`].
    pub orthogonality: f64,
    /// The largest and the smallest singular value.
    pub singular_values: [f64; 2],
}

impl Decomposition {
    /// Decomposes `weight` `[outputs, inputs]`, the transpose of W, row by row.
    ///
    /// # Errors
    /// The reason, if a weight is not finite, or the eigenvectors are not found after many iterations.
    ///
    /// # Panics
    /// If `outputs` is 0 or does not divide the number of weights.
    pub fn of(weight: &[f32], outputs: usize) -> Result<Self, &'static str> {
        assert!(outputs > 0 && weight.len().is_multiple_of(outputs));
        if !weight.iter().all(|value| value.is_finite()) {
            return Err("a weight is not finite");
        }
        let old = matrix(weight, outputs);
        let gram = &old * old.transpose();
        let orthogonality = orthogonality_of(&gram);
        let iterations = ITERATIONS * outputs;
        let eigen = gram.try_symmetric_eigen(f64::EPSILON, iterations);
        let eigen = eigen.ok_or("its singular values are not found")?;
        let mut order: Vec<usize> = (0..outputs).collect();
        order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]).then(a.cmp(&b)));
        // Eigenvalues of a layer without full rank may be below 0 by rounding.
        let singular: Vec<f64> = order.iter().map(|&j| eigen.eigenvalues[j].max(0.0).sqrt()).collect();
        let vectors = DMatrix::from_fn(outputs, outputs, |k, place| eigen.eigenvectors[(k, order[place])]);
        let chosen = nearest(&vectors, &singular);
        let rotation = DMatrix::from_fn(outputs, outputs, |k, i| {
            let place = chosen[k];
            if vectors[(k, place)] < 0.0 { -vectors[(i, place)] } else { vectors[(i, place)] }
        });
        let weight = &rotation * &old;
        let singular_values = [singular[0], singular[outputs - 1]];
        Ok(Decomposition { rotation, weight, orthogonality, singular_values })
    }

    /// The new weights `[outputs, inputs]`, row by row.
    pub fn weight(&self) -> Vec<f32> {
        by_rows(&self.weight)
    }

    /// Points `[n, outputs]` in the space of the outputs, such as class centers, as the new layer would place them.
    ///
    /// # Panics
    /// If the points have another width.
    pub fn rotated(&self, points: &[f32]) -> Vec<f32> {
        let outputs = self.rotation.nrows();
        assert!(points.len().is_multiple_of(outputs));
        by_rows(&(matrix(points, points.len() / outputs) * self.rotation.transpose()))
    }
}

/// S(W) of Sun et al. (section 3.4) of weights `[outputs, inputs]`: with the inner products g_ij of all pairs of weight
/// vectors, the sum of g_ii over the sum of |g_ij|. It is 1 for orthogonal vectors and 1 / outputs for equal ones; 1 if
/// all weights are 0.
///
/// # Panics
/// If `outputs` is 0 or does not divide the number of weights.
pub fn orthogonality(weight: &[f32], outputs: usize) -> f64 {
    assert!(outputs > 0 && weight.len().is_multiple_of(outputs));
    let vectors = matrix(weight, outputs);
    orthogonality_of(&(&vectors * vectors.transpose()))
}

fn orthogonality_of(gram: &DMatrix<f64>) -> f64 {
    let all: f64 = gram.iter().map(|product| product.abs()).sum();
    if all == 0.0 { 1.0 } else { gram.trace() / all }
}

/// For each weight vector in turn the place of the nearest column of U S that is left. The cosine of weight vector k
/// and column j is V_kj s_j over the length of weight vector k, which is the same for all columns.
fn nearest(vectors: &DMatrix<f64>, singular: &[f64]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..singular.len()).collect();
    let choose = |k: usize| {
        let cosine = |place: usize| (vectors[(k, place)] * singular[place]).abs();
        let mut best = 0;
        for at in 1..left.len() {
            if cosine(left[at]) > cosine(left[best]) {
                best = at;
            }
        }
        left.remove(best)
    };
    (0..singular.len()).map(choose).collect()
}

fn matrix(rows: &[f32], count: usize) -> DMatrix<f64> {
    DMatrix::from_row_iterator(count, rows.len() / count.max(1), rows.iter().map(|&value| f64::from(value)))
}

fn by_rows(matrix: &DMatrix<f64>) -> Vec<f32> {
    // Columns of the transpose lie one after the other.
    matrix.transpose().iter().map(|&value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::{Philox, RngStream};

    fn noise(seed: u64, len: usize) -> Vec<f32> {
        let draw = Philox::new(seed, 0, 0, RngStream::Test);
        (0..len as u32).map(|i| draw.normal(i)).collect()
    }

    /// x `[n, inputs]` times the transpose of `weight` `[outputs, inputs]`, in f64.
    fn outputs(x: &[f32], weight: &[f32], inputs: usize) -> Vec<Vec<f64>> {
        let product =
            |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        x.chunks(inputs).map(|x| weight.chunks(inputs).map(|w| product(x, w)).collect()).collect()
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    /// Weights of all shapes and ranks: vectors that are alike, fewer inputs than outputs, equal vectors, none.
    fn cases() -> Vec<(&'static str, Vec<f32>, usize)> {
        let (own, common) = (noise(1, 12 * 40), noise(2, 40));
        let alike =
            own.chunks(40).flat_map(|row| row.iter().zip(&common).map(|(own, common)| 0.3 * own + common));
        let scaled = noise(3, 9 * 9).into_iter().enumerate().map(|(i, v)| v * 10f32.powi(-((i / 9) as i32)));
        vec![
            ("alike", alike.collect(), 12),
            ("scales", scaled.collect(), 9),
            ("wide", noise(4, 20 * 6), 20),
            ("equal", noise(5, 8).repeat(5), 5),
            ("zero", vec![0.0; 12], 3),
            ("one", noise(6, 7), 1),
        ]
    }

    #[test]
    fn distances_stay_and_weight_vectors_become_orthogonal() {
        for (name, weight, count) in cases() {
            let inputs = weight.len() / count;
            let found = Decomposition::of(&weight, count).unwrap();
            let (x, new) = (noise(7, 6 * inputs), found.weight());
            let [before, after] = [&weight, &new].map(|weight| outputs(&x, weight, inputs));
            let points: Vec<f32> = before.iter().flatten().map(|v| *v as f32).collect();
            let rotated = found.rotated(&points);
            for i in 0..6 {
                for j in 0..i {
                    let (old, new) = (distance(&before[i], &before[j]), distance(&after[i], &after[j]));
                    assert!((old - new).abs() <= 2e-6 * old, "{name}: {old} became {new}");
                }
                let own: Vec<f64> = rotated[i * count..][..count].iter().map(|v| f64::from(*v)).collect();
                let length = distance(&after[i], &vec![0.0; count]);
                assert!(distance(&own, &after[i]) <= 2e-6 * length, "{name}: a point is misplaced");
            }
            let largest = found.singular_values[0];
            for k in 0..count {
                for l in 0..k {
                    let pair = [k, l].map(|row| &new[row * inputs..][..inputs]);
                    let product: f64 =
                        pair[0].iter().zip(pair[1]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    assert!(product.abs() <= 1e-6 * largest * largest, "{name}: rows {k} and {l}: {product}");
                }
            }
            assert!(orthogonality(&new, count) > 0.9999 || name == "wide" || name == "equal", "{name}");
            assert!(found.orthogonality <= orthogonality(&new, count), "{name}");
        }
    }

    /// W = U S V^T by hand: W^T = [[3, 0], [4, 5]] has the singular values sqrt(45) and sqrt(5).
    #[test]
    fn a_decomposition_by_hand() {
        let found = Decomposition::of(&[3.0, 0.0, 4.0, 5.0], 2).unwrap();
        let close = |ours: f64, right: f64| assert!((ours - right).abs() < 1e-6, "{ours}, {right}");
        close(found.singular_values[0], 45f64.sqrt());
        close(found.singular_values[1], 5f64.sqrt());
        // Inner products 9, 12, 12 and 41.
        close(found.orthogonality, 50.0 / 74.0);
        // W^T W has the eigenvectors (1, 3) / sqrt(10) and (3, -1) / sqrt(10). The first weight vector takes the column
        // with the larger of |V_0j| s_j: sqrt(45) to 3 sqrt(5), which are equal but for rounding. So the sets are compared.
        let rows = found.weight();
        let lengths: Vec<f64> =
            rows.chunks(2).map(|row| f64::from(row[0]).hypot(f64::from(row[1]))).collect();
        close(lengths[0].max(lengths[1]), 45f64.sqrt());
        close(lengths[0].min(lengths[1]), 5f64.sqrt());
    }

    /// Weight vectors that are orthogonal already stay where they are: nearest columns in their order, with their signs.
    #[test]
    fn orthogonal_weights_stay() {
        let weight = [0.0, -2.0, 0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let found = Decomposition::of(&weight, 3).unwrap();
        assert_eq!(found.weight(), weight);
        assert_eq!((found.orthogonality, found.singular_values), (1.0, [3.0, 1.0]));
        // Nearly orthogonal ones stay near.
        let near: Vec<f32> = weight.iter().zip(noise(8, 12)).map(|(w, n)| w + 0.05 * n).collect();
        let moved = Decomposition::of(&near, 3).unwrap().weight();
        assert!(near.iter().zip(&moved).all(|(a, b)| (a - b).abs() < 0.3), "{near:?} became {moved:?}");
    }

    #[test]
    fn the_measure_of_orthogonality() {
        assert_eq!(orthogonality(&[1.0, 0.0, 0.0, -5.0], 2), 1.0);
        assert_eq!(orthogonality(&[2.0, 1.0].repeat(4), 4), 0.25);
        assert_eq!(orthogonality(&[0.0; 6], 2), 1.0);
        // Opposite vectors are as dependent as equal ones.
        assert_eq!(orthogonality(&[1.0, 1.0, -1.0, -1.0], 2), 0.5);
    }

    #[test]
    fn the_same_bits_twice_and_none_of_weights_that_are_not_finite() {
        let weight = noise(9, 30 * 50);
        let [one, two] = [0, 1].map(|_| Decomposition::of(&weight, 30).unwrap().weight());
        assert!(one.iter().zip(&two).all(|(a, b)| a.to_bits() == b.to_bits()));
        for wrong in [f32::NAN, f32::INFINITY] {
            let mut weight = weight.clone();
            weight[77] = wrong;
            assert!(Decomposition::of(&weight, 30).is_err());
        }
        assert!(Decomposition::of(&[f32::MAX, f32::MAX, f32::MAX, -f32::MAX], 2).is_ok());
    }
}
