//! The batch-contrastive loss on the CPU.
//!
//! Book: [chapter 11](../../../../../../docs/book/src/11-batch-contrastive.md).

use super::{Batch, Gradient, OP, Options, Reduction, Term};
use crate::Result;
use crate::element::GradMode;
use crate::ops::check;
use crate::ops::pairs::cpu::{above_diagonal, squared_distance};
use crate::tensor::Tensor;
use rayon::prelude::*;

/// The batch as slices, whose rows have `d` elements.
struct Rows<'a> {
    d: usize,
    x: &'a [f32],
    labels: &'a [i32],
    centers: &'a [f32],
}

impl<'a> Rows<'a> {
    fn of(batch: &Batch<'a>) -> Self {
        let Batch { x, labels, centers } = batch;
        Rows { d: x.shape().last(), x: x.f32(), labels: labels.i32(), centers: centers.f32() }
    }

    fn m(&self) -> usize {
        self.labels.len()
    }

    fn x(&self, i: usize) -> &'a [f32] {
        &self.x[i * self.d..][..self.d]
    }

    /// The center of image i's identity.
    fn center(&self, i: usize) -> &'a [f32] {
        &self.centers[self.labels[i] as usize * self.d..][..self.d]
    }
}

/// Checks the labels and computes the upper triangle of the distance matrix d_ij, `[m, m]`; the rest is not written.
pub fn distances(batch: &Batch<'_>, distances: &mut Tensor) -> Result<()> {
    check::cpu::classes(OP, batch.labels.i32(), batch.centers.shape().dims()[0])?;
    above_diagonal(batch.x.f32(), batch.x.shape().last(), distances.f32_mut(), squared_distance);
    Ok(())
}

/// Computes the loss, its terms and the active hardest negatives from the distances above the diagonal.
pub fn forward(
    batch: &Batch<'_>,
    distances: &Tensor,
    options: Options,
    hardest: &mut Tensor,
    terms: &mut Tensor,
    loss: &mut Tensor,
) {
    let batch = Rows::of(batch);
    let (distances, hardest, terms) = (distances.f32(), hardest.i32_mut(), terms.f32_mut());
    let (m, tau) = (batch.m(), f64::from(options.tau));
    let mut nearest = vec![f32::INFINITY; m];
    hardest.fill(-1);
    let (mut positive, mut intra, mut inter, mut least) = (0.0f64, 0.0f64, 0.0f64, f32::INFINITY);
    let (mut positive_pairs, mut negative_pairs) = (0u64, 0u64);
    for i in 0..m {
        for j in i + 1..m {
            let distance = distances[i * m + j];
            if batch.labels[i] == batch.labels[j] {
                positive_pairs += 1;
                positive += f64::from(distance);
                intra += f64::from(distance).sqrt();
            } else {
                negative_pairs += 1;
                inter += f64::from(distance).sqrt();
                least = least.min(distance);
                // ANCHOR: hardest
                // Each image meets its partners in ascending order, so that a tie stays with the first.
                for (image, partner) in [(i, j), (j, i)] {
                    if distance < nearest[image] {
                        nearest[image] = distance;
                        hardest[image] = partner as i32;
                    }
                }
                // ANCHOR_END: hardest
            }
        }
    }
    let mut hinge = 0.0f64;
    for (nearest, hardest) in nearest.iter().zip(hardest) {
        if f64::from(*nearest) < tau {
            hinge += 0.5 * (tau - f64::from(*nearest));
        } else {
            *hardest = -1;
        }
    }
    let center: f64 = (0..m).map(|i| 0.5 * squared_distance(batch.x(i), batch.center(i))).sum();
    let factor = options.reduction.factor(m);
    let (positive, hinge, center) = (factor * positive, factor * hinge, factor * center);
    // The mean over no pair is 0 / 0 = NaN, which is documented as "no such pair".
    let least = if negative_pairs > 0 { least.sqrt() } else { f32::NAN };
    terms[Term::Positive as usize] = positive as f32;
    terms[Term::Hinge as usize] = hinge as f32;
    terms[Term::Center as usize] = center as f32;
    terms[Term::PositivePairs as usize] = positive_pairs as f32;
    terms[Term::IntraMean as usize] = (intra / positive_pairs as f64) as f32;
    terms[Term::InterMean as usize] = (inter / negative_pairs as f64) as f32;
    terms[Term::InterMin as usize] = least;
    loss.f32_mut()[0] = (positive + hinge + center) as f32;
}

/// Writes or adds dx; a task is one image, sums are f64.
pub fn backward(
    batch: &Batch<'_>,
    hardest: &Tensor,
    (gradient, reduction): (Gradient, Reduction),
    dy: &Tensor,
    dx: &mut Tensor,
    mode: GradMode,
) {
    let batch = Rows::of(batch);
    let (hardest, dy) = (hardest.i32(), reduction.factor(batch.m()) * f64::from(dy.f32()[0]));
    let identities = Identities::of(&batch);
    let sides = match gradient {
        Gradient::Paper => 1.0,
        Gradient::Exact => 2.0,
    };
    // ANCHOR: gradient
    dx.f32_mut().par_chunks_mut(batch.d).enumerate().for_each(|(i, dx)| {
        let x = batch.x(i);
        let (count, sum) = identities.get(i);
        // The sum over j of x_i - x_j is count x_i - sum_j x_j: in f64 the difference is accurate, and the cost does
        // not grow with the number of images of an identity.
        let mut total: Vec<f64> = x
            .iter()
            .zip(sum)
            .zip(batch.center(i))
            .map(|((&x, &sum), &c)| {
                let x = f64::from(x);
                sides * (count * x - sum) + (x - f64::from(c))
            })
            .collect();
        let mut push_from = |partner: usize| {
            for ((total, &x), &other) in total.iter_mut().zip(x).zip(batch.x(partner)) {
                *total -= f64::from(x) - f64::from(other);
            }
        };
        if let Ok(partner) = usize::try_from(hardest[i]) {
            push_from(partner);
        }
        if gradient == Gradient::Exact {
            hardest.iter().enumerate().filter(|(_, h)| **h == i as i32).for_each(|(j, _)| push_from(j));
        }
        mode.store(dx, total.into_iter().map(|total| (dy * total) as f32));
    });
    // ANCHOR_END: gradient
}

/// The identities of the batch, each with its number of images and the sum of their features.
struct Identities {
    /// The index of each image's identity.
    of_image: Vec<usize>,
    sums: Vec<(f64, Vec<f64>)>,
}

impl Identities {
    fn of(batch: &Rows<'_>) -> Self {
        let mut distinct = batch.labels.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let sums = distinct.par_iter().map(|&label| {
            let (mut count, mut sum) = (0.0, vec![0.0f64; batch.d]);
            for i in (0..batch.m()).filter(|&i| batch.labels[i] == label) {
                count += 1.0;
                sum.iter_mut().zip(batch.x(i)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            (count, sum)
        });
        let index = |label| distinct.partition_point(|d| d < label);
        Identities { of_image: batch.labels.iter().map(index).collect(), sums: sums.collect() }
    }

    /// The number of images and the sum of features of image i's identity.
    fn get(&self, i: usize) -> (f64, &[f64]) {
        let (count, sum) = &self.sums[self.of_image[i]];
        (*count, sum)
    }
}
