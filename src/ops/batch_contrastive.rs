//! The batch-contrastive loss: equations (3), (4), (7) and (8) of the paper.
//!
//! x_i is the normalised feature of image i, y_i its identity, c_j the center of identity j. With the squared
//! Euclidean distance d_ij = ||x_i - x_j||^2 and the hardest negative h(i), the lowest j among those with
//! y_j != y_i that minimise d_ij:
//!
//! - L_b = 1/2 sum_i ( sum_j \[y_i = y_j\] d_ij + max(0, tau - d_ih(i)) )    (3)
//! - L_c = 1/2 sum_i ||x_i - c_(y_i)||^2    (4)
//! - L_b-c = L_b + L_c    (7)
//!
//! Sums and not means; every positive pair counts from both of its sides; a batch of one identity has no
//! hinge.
//!
//! # Two gradients
//!
//! The paper's (8),
//!
//! dx_i = sum_j \[y_i = y_j\] (x_i - x_j) - \[d_ih(i) < tau\] (x_i - x_h(i)) + (x_i - c_(y_i)),
//!
//! is not the derivative of (3): it is the derivative with every partner sample held constant. The true one
//! has the positive sum twice (x_i is both sides of its pairs) and an extra -(x_i - x_j) for each j whose
//! active hardest negative is i. [`Gradient`] chooses. At the kink d = tau the hinge has no gradient. (8)
//! compares the un-squared distance with tau where (3) compares the squared one; here it is squared
//! throughout. Centers get no gradient: [`crate::ops::center_step`] moves them.
//!
//! # Close pairs
//!
//! Distances are sums of squared differences and not ||a||^2 + ||b||^2 - 2 a.b, whose rounding error of
//! about 1e-7 would drown the near-duplicates the positive term is about. The product form is faster only
//! for batches far larger than a network that fits beside them.

use crate::ops::check;
use crate::tensor::{Backward, DType, Sinks, Tape, Tensor, Var};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "batch_contrastive";

/// Which derivative the backward pass gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gradient {
    /// Equation (8): the other samples of the batch are held constant.
    Paper,
    /// The derivative of (3) and (4) as they stand.
    Exact,
}

/// Where each number lies in [`BatchContrastive::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The positive part of L_b: half the sum of squared distances within identities, each pair twice.
    Positive,
    /// The hinge part of L_b.
    Hinge,
    /// L_c.
    Center,
    /// How many pairs i < j share an identity.
    PositivePairs,
    /// Mean Euclidean (not squared) distance of those pairs, the blue dots of the paper's figure 1; NaN in a
    /// batch without such a pair.
    IntraMean,
    /// Mean Euclidean distance of the pairs i < j of two identities, the green dots; NaN in a batch of one
    /// identity.
    InterMean,
    /// Least Euclidean distance of the pairs i < j of two identities, the orange dots; NaN in a batch of one
    /// identity.
    InterMin,
}

impl Term {
    /// How many there are.
    pub const COUNT: usize = 7;
}

/// The loss and what it is made of.
#[derive(Debug)]
pub struct BatchContrastive {
    /// f32 `[1]`: L_b + L_c.
    pub loss: Var,
    /// f32 `[Term::COUNT]`, indexed by `Term as usize`: for logs and reports, not differentiable. The first
    /// three add up to the loss.
    pub terms: Tensor,
}

/// The loss of normalised features `x` `[m, D]` with labels i32 `[m]` against `centers` `[n, D]`, and the
/// margin `tau`, a squared distance.
///
/// The tape holds on to `centers` until it has been walked; they are moved after that.
///
/// # Errors
/// If the shapes do not fit together, `tau` is negative or not finite, or, on the CPU, a label is no class. (On a GPU,
/// where looking would be waiting, the loss is then NaN.)
pub fn batch_contrastive(
    tape: &mut Tape<'_>,
    x: Var,
    labels: &Tensor,
    centers: &Tensor,
    gradient: Gradient,
    tau: f32,
) -> Result<BatchContrastive> {
    let [m, d] = check::matrix(OP, "x", &x.value)?;
    let [_, width] = check::matrix(OP, "centers", centers)?;
    if width != d {
        return Err(Error::shape(
            OP,
            format!("x {} and centers {} differ in width", x.shape(), centers.shape()),
        ));
    }
    check::labels(OP, labels, m)?;
    if !(0.0..f32::INFINITY).contains(&tau) {
        return Err(Error::shape(OP, format!("tau {tau} is not a finite number of at least 0")));
    }
    let device = tape.device();
    let mut hardest = Tensor::empty(&device, [m], DType::I32)?;
    let mut terms = Tensor::empty(&device, [Term::COUNT], DType::F32)?;
    let mut loss = Tensor::empty(&device, [1], DType::F32)?;
    let batch = Batch { x: &x.value, labels, centers };
    match x.value.gpu() {
        None => {
            let mut distances = Tensor::empty(&device, [m, m], DType::F32)?;
            cpu::distances(&batch, &mut distances)?;
            cpu::forward(&batch, &distances, tau, &mut hardest, &mut terms, &mut loss);
        }
        Some(gpu) => cuda::forward(gpu, &batch, tau, &mut hardest, &mut terms, &mut loss)?,
    }
    let input = x.handle();
    let (labels, centers) = (labels.clone(), centers.clone());
    let loss = tape.record(loss, &[input], |_| Saved { x: x.value, labels, centers, hardest, gradient });
    Ok(BatchContrastive { loss, terms })
}

/// What both passes read.
struct Batch<'a> {
    x: &'a Tensor,
    labels: &'a Tensor,
    centers: &'a Tensor,
}

/// The gradient is linear in the features once the hardest negatives are known, so those are saved and not
/// the distances.
struct Saved {
    x: Tensor,
    labels: Tensor,
    centers: Tensor,
    /// i32 `[m]`: h(i) where the hinge of image i is active, else -1.
    hardest: Tensor,
    gradient: Gradient,
}

impl Backward for Saved {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let batch = Batch { x: &self.x, labels: &self.labels, centers: &self.centers };
        sinks.add(0, |dx, write| match dy.gpu() {
            None => {
                cpu::backward(&batch, &self.hardest, self.gradient, &dy, dx, write);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &batch, &self.hardest, self.gradient, &dy, dx, write),
        })
    }
}

mod cpu {
    use super::{Batch, Gradient, OP, Term};
    use crate::Result;
    use crate::ops::check;
    use crate::tensor::{Tensor, Write};
    use rayon::prelude::*;

    /// The batch as slices; rows are `d` long.
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

    /// Rows of the distance matrix that a thread takes at a time: each other row is fetched once for all.
    const ROWS: usize = 8;

    /// Checks the labels and fills the upper triangle of d_ij, [m, m]; the rest is left as it is.
    pub fn distances(batch: &Batch<'_>, distances: &mut Tensor) -> Result<()> {
        check::cpu::classes(OP, batch.labels.i32(), batch.centers.shape().dims()[0])?;
        let batch = Rows::of(batch);
        let m = batch.m();
        distances.f32_mut().par_chunks_mut(ROWS * m).enumerate().for_each(|(block, rows)| {
            let first = block * ROWS;
            for j in first + 1..m {
                for (i, row) in (first..j).zip(rows.chunks_mut(m)) {
                    row[j] = squared_distance(batch.x(i), batch.x(j)) as f32;
                }
            }
        });
        Ok(())
    }

    /// ||a - b||^2. Sixteen sums in f32 side by side, for the vector registers, short enough to lose nothing
    /// that matters; their totals in f64.
    fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
        const LANES: usize = 16;
        const RUN: usize = 32 * LANES;
        let run = |(a, b): (&[f32], &[f32])| -> f64 {
            let mut sums = [0.0f32; LANES];
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    let difference = a[lane] - b[lane];
                    sums[lane] += difference * difference;
                }
            }
            for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
                *sum += (a - b) * (a - b);
            }
            sums.into_iter().map(f64::from).sum()
        };
        a.chunks(RUN).zip(b.chunks(RUN)).map(run).sum()
    }

    /// Fills the loss, its terms, and the active hardest negatives, from the distances above the diagonal.
    pub fn forward(
        batch: &Batch<'_>,
        distances: &Tensor,
        tau: f32,
        hardest: &mut Tensor,
        terms: &mut Tensor,
        loss: &mut Tensor,
    ) {
        let batch = Rows::of(batch);
        let (distances, hardest, terms) = (distances.f32(), hardest.i32_mut(), terms.f32_mut());
        let m = batch.m();
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
                    // Each image meets its partners in ascending order, so that a tie stays with the first.
                    for (image, partner) in [(i, j), (j, i)] {
                        if distance < nearest[image] {
                            nearest[image] = distance;
                            hardest[image] = partner as i32;
                        }
                    }
                }
            }
        }
        let mut hinge = 0.0f64;
        for (nearest, hardest) in nearest.iter().zip(hardest) {
            if *nearest < tau {
                hinge += 0.5 * (f64::from(tau) - f64::from(*nearest));
            } else {
                *hardest = -1;
            }
        }
        let center: f64 = (0..m).map(|i| 0.5 * squared_distance(batch.x(i), batch.center(i))).sum();
        // The mean over no pair is 0 / 0, the NaN that stands for "none".
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

    /// Writes or adds dx; one image a task, sums in f64.
    pub fn backward(
        batch: &Batch<'_>,
        hardest: &Tensor,
        gradient: Gradient,
        dy: &Tensor,
        dx: &mut Tensor,
        write: Write,
    ) {
        let batch = Rows::of(batch);
        let (hardest, dy) = (hardest.i32(), f64::from(dy.f32()[0]));
        let identities = Identities::of(&batch);
        let sides = match gradient {
            Gradient::Paper => 1.0,
            Gradient::Exact => 2.0,
        };
        dx.f32_mut().par_chunks_mut(batch.d).enumerate().for_each(|(i, dx)| {
            let x = batch.x(i);
            let (count, sum) = identities.get(i);
            // The sum over j of x_i - x_j is count x_i - sum_j x_j: in f64 the difference keeps its digits,
            // and a batch of one large identity costs no more than another.
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
            write.store(dx, total.into_iter().map(|total| (dy * total) as f32));
        });
    }

    /// For each identity in the batch, its number of images and the sum of their features.
    struct Identities {
        /// For each image, which of the identities.
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
            let place = |label| distinct.partition_point(|d| d < label);
            Identities { of_image: batch.labels.iter().map(place).collect(), sums: sums.collect() }
        }

        /// Count and sum of image i's identity.
        fn get(&self, i: usize) -> (f64, &[f64]) {
            let (count, sum) = &self.sums[self.of_image[i]];
            (*count, sum)
        }
    }
}

mod cuda {
    use super::{Batch, Gradient, Term};
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{Arg, CudaDevice, Grid};
    use crate::ops::center_step::cuda::over_features;
    use crate::tensor::{DType, Tensor, Write};
    use std::sync::Arc;

    /// Images and features of a tile of distances, and the parts of the features to aim for.
    const TILE: usize = 16;
    const CHUNK: usize = 64;
    const BLOCKS: usize = 512;

    impl Batch<'_> {
        /// Images, features, classes.
        fn sizes(&self) -> [usize; 3] {
            [self.labels.shape().len(), self.x.shape().last(), self.centers.shape().dims()[0]]
        }
    }

    /// Fills the active hardest negatives, the terms and the loss: three launches.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        batch: &Batch<'_>,
        tau: f32,
        hardest: &mut Tensor,
        terms: &mut Tensor,
        loss: &mut Tensor,
    ) -> Result<()> {
        let [m, d, classes] = batch.sizes();
        let device = Device::Cuda(gpu.clone());
        let tiles = m.div_ceil(TILE);
        // From m and D alone: parts decide in which order numbers are added.
        let splits = d.div_ceil(CHUNK).min(BLOCKS.div_ceil(tiles * (tiles + 1) / 2));
        let mut partial = Tensor::empty(&device, [splits, m, m], DType::F32)?;
        let args = [batch.x.into(), (&mut partial).into(), Arg::Int(m), Arg::Int(d)];
        gpu.launch("batch_contrastive_distances", Grid::tiles([tiles / 2 + 1, tiles, splits]), &args)?;

        let mut rows = Tensor::empty(&device, [m, Term::COUNT], DType::F32)?;
        let tensors = [&partial, batch.x, batch.labels, batch.centers].map(Arg::from);
        let results = [Arg::Float(tau), (&mut rows).into(), hardest.into()];
        let sizes = [splits, m, d, classes].map(Arg::Int);
        let args = [&tensors[..], &results, &sizes].concat();
        // A warp an image.
        gpu.launch("batch_contrastive_rows", Grid::blocks(m.div_ceil(8)), &args)?;

        let args = [(&rows).into(), terms.into(), loss.into(), Arg::Int(m)];
        gpu.launch("batch_contrastive_terms", Grid::blocks(1), &args)
    }

    /// Writes or adds dx.
    pub fn backward(
        gpu: &CudaDevice,
        batch: &Batch<'_>,
        hardest: &Tensor,
        gradient: Gradient,
        dy: &Tensor,
        dx: &mut Tensor,
        write: Write,
    ) -> Result<()> {
        let [m, d, classes] = batch.sizes();
        let tensors = [batch.x, batch.labels, batch.centers, hardest, dy].map(Arg::from);
        let how = [dx.into(), Arg::flag(gradient == Gradient::Exact), write.flag()];
        let args = [&tensors[..], &how, &[m, d, classes].map(Arg::Int)].concat();
        gpu.launch("batch_contrastive_backward", over_features(m, d), &args)
    }
}
