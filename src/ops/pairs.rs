//! Squared distances or inner products of all pairs of a batch, and the gradient of a loss that depends on them alone:
//! the common part of [`super::triplet`], [`super::circle`] and [`super::contrastive`]
//! ([`super::batch_contrastive`] uses the distances).
//!
//! Let q_ij be the squared distance ||x_i - x_j||^2 or the inner product x_i . x_j, and L a function of all q_ij. With
//! the derivative g_ij = dL/dq_ij, where q_ij and q_ji count as two arguments,
//!
//! - dx_i = sum_j 2 (g_ij + g_ji) (x_i - x_j) for squared distances,
//! - dx_i = sum_j (g_ij + g_ji) x_j for inner products.
//!
//! A loss computes the weights w_ij = 2 g_ij or g_ij, `[m, m]`, up to two scales that are known only after a sum over
//! the batch: positive weights are multiplied by the first, negative ones by the second. The weights are m^2 numbers,
//! few beside the m D features (256 KiB for a batch of 256), and with them one backward pass serves every loss.
//!
//! Distances are sums of squared differences; [`super::batch_contrastive`] says why.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the loss on pairs of the paper,
//! [chapter 13](../../../../../docs/book/src/13-three-kernels.md) kernels for the distances of all pairs.

use crate::Result;
use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::device::Device;
use crate::element::DType;
use crate::tensor::Tensor;

/// The quantity of a pair of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    SquaredDistance,
    InnerProduct,
}

/// The saved values of a loss on pairs.
pub(super) struct PairsBackward {
    /// The name of the loss.
    pub op: &'static str,
    /// Features `[m, D]`.
    pub x: Tensor,
    /// w_ij, f32 `[m, m]`, with a diagonal of 0.
    pub weights: Tensor,
    /// The factors of positive and of negative weights, f32 `[2]`.
    pub scales: Tensor,
    pub quantity: Quantity,
}

impl Backward for PairsBackward {
    fn op(&self) -> &'static str {
        self.op
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        sinks.add(0, |dx, mode| match self.x.gpu() {
            None => {
                cpu::backward(&self, &dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &self, &dy, dx, mode),
        })
    }
}

/// The tensors that a loss on pairs writes in its forward pass.
pub(super) struct Outputs {
    /// For logs; the loss defines their number.
    pub terms: Tensor,
    pub loss: Tensor,
    pub scales: Tensor,
    /// Only if the gradient is needed.
    pub weights: Option<Tensor>,
}

impl Outputs {
    /// Allocates the outputs for a batch of `m` images.
    pub fn empty(device: &Device, m: usize, terms: usize, needs_grad: bool) -> Result<Self> {
        let empty = |len| Tensor::empty(device, [len], DType::F32);
        Ok(Outputs {
            terms: empty(terms)?,
            loss: empty(1)?,
            scales: empty(2)?,
            weights: needs_grad.then(|| Tensor::empty(device, [m, m], DType::F32)).transpose()?,
        })
    }

    /// Records the loss on the tape; returns the loss and the terms.
    pub fn record(self, tape: &mut Tape<'_>, op: &'static str, x: Var, quantity: Quantity) -> (Var, Tensor) {
        let Outputs { terms, loss, scales, weights } = self;
        let loss = match weights {
            None => tape.constant(loss),
            Some(weights) => {
                let input = x.handle();
                tape.record(loss, &[input], |_| PairsBackward { op, x: x.value, weights, scales, quantity })
            }
        };
        (loss, terms)
    }
}

pub(super) mod cpu {
    use super::{PairsBackward, Quantity};
    use crate::element::GradMode;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Rows of the matrix of a task: each partner row is loaded once for all of them.
    const ROWS: usize = 8;

    /// A symmetric matrix `[m, m]` of which the elements above the diagonal are stored.
    pub struct Pairs {
        pub m: usize,
        values: Vec<f32>,
    }

    impl Pairs {
        /// Computes the quantity of every two rows of `x` `[m, D]`.
        pub fn of(x: &Tensor, quantity: Quantity) -> Self {
            let (m, d) = (x.shape().dims()[0], x.shape().last());
            let mut values = vec![0.0; m * m];
            match quantity {
                Quantity::SquaredDistance => above_diagonal(x.f32(), d, &mut values, squared_distance),
                Quantity::InnerProduct => above_diagonal(x.f32(), d, &mut values, inner_product),
            }
            Pairs { m, values }
        }

        /// The quantity of two different images.
        pub fn get(&self, i: usize, j: usize) -> f32 {
            self.values[i.min(j) * self.m + i.max(j)]
        }
    }

    /// Writes the elements (i, j) with i < j of the matrix `[m, m]`: `quantity` of rows i and j of `x` `[m, d]`.
    pub fn above_diagonal(
        x: &[f32],
        d: usize,
        matrix: &mut [f32],
        quantity: impl Fn(&[f32], &[f32]) -> f64 + Sync,
    ) {
        let m = x.len() / d;
        let image = |i: usize| &x[i * d..][..d];
        matrix.par_chunks_mut(ROWS * m).enumerate().for_each(|(block, rows)| {
            let first = block * ROWS;
            for j in first + 1..m {
                for (i, row) in (first..j).zip(rows.chunks_mut(m)) {
                    row[j] = quantity(image(i), image(j)) as f32;
                }
            }
        });
    }

    /// Computes ||a - b||^2.
    pub fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
        sum(a, b, |a, b| (a - b) * (a - b))
    }

    fn inner_product(a: &[f32], b: &[f32]) -> f64 {
        sum(a, b, |a, b| a * b)
    }

    /// Sums `term` as sixteen f32 partial sums, for the vector registers, over runs short enough for a small rounding
    /// error; the totals are f64.
    fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f64 {
        const LANES: usize = 16;
        const RUN: usize = 32 * LANES;
        let run = |(a, b): (&[f32], &[f32])| -> f64 {
            let mut sums = [0.0f32; LANES];
            let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
            for (a, b) in a.iter().zip(b) {
                for lane in 0..LANES {
                    sums[lane] += term(a[lane], b[lane]);
                }
            }
            for ((sum, &a), &b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
                *sum += term(a, b);
            }
            sums.into_iter().map(f64::from).sum()
        };
        a.chunks(RUN).zip(b.chunks(RUN)).map(run).sum()
    }

    /// Writes or adds dx; a task is one image, sums are f64.
    pub fn backward(saved: &PairsBackward, dy: &Tensor, dx: &mut Tensor, mode: GradMode) {
        let d = saved.x.shape().last();
        let (x, weights, scales) = (saved.x.f32(), saved.weights.f32(), saved.scales.f32());
        let (m, dy) = (x.len() / d, f64::from(dy.f32()[0]));
        let weight = |i: usize, j: usize| {
            let weight = weights[i * m + j];
            f64::from(weight) * f64::from(scales[if weight > 0.0 { 0 } else { 1 }])
        };
        dx.f32_mut().par_chunks_mut(d).enumerate().for_each(|(i, dx)| {
            let own = &x[i * d..][..d];
            let mut total = vec![0.0f64; d];
            for j in 0..m {
                let weight = weight(i, j) + weight(j, i);
                if weight == 0.0 {
                    continue;
                }
                let pairs = total.iter_mut().zip(own).zip(&x[j * d..][..d]);
                match saved.quantity {
                    Quantity::SquaredDistance => pairs.for_each(|((total, &own), &other)| {
                        *total += weight * (f64::from(own) - f64::from(other));
                    }),
                    Quantity::InnerProduct => {
                        pairs.for_each(|((total, _), &other)| *total += weight * f64::from(other));
                    }
                }
            }
            mode.store(dx, total.into_iter().map(|total| (dy * total) as f32));
        });
    }
}

/// The launches of `cuda/pairs.cu`.
pub mod cuda {
    use super::{PairsBackward, Quantity};
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::{DType, GradMode};
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// The side of a tile of pairs, in images; a block computes a tile.
    pub const TILE: usize = 16;
    /// The images of a block of the backward pass.
    pub const IMAGES: usize = 4;
    /// The fewest features of a split.
    const CHUNK: usize = 64;
    /// The target number of blocks.
    const BLOCKS: usize = 512;

    /// The number of splits of the feature dimension: the sums over the `d` features of `m` images are computed in so
    /// many parts, so that a small batch fills the chip too. The number depends on the sizes alone, since it determines
    /// the order of additions.
    pub fn splits(m: usize, d: usize) -> usize {
        let tiles = m.div_ceil(TILE);
        d.div_ceil(CHUNK).min(BLOCKS.div_ceil(tiles * (tiles + 1) / 2))
    }

    /// Enqueues the computation of the quantity of all pairs of `x` `[m, D]`: parts `[splits, m, m]`, which the reader
    /// adds up.
    pub(in crate::ops) fn parts(gpu: &Arc<CudaDevice>, x: &Tensor, quantity: Quantity) -> Result<Tensor> {
        let (m, d) = (x.shape().dims()[0], x.shape().last());
        let (tiles, splits) = (m.div_ceil(TILE), splits(m, d));
        let mut partial = Tensor::empty(&Device::Cuda(gpu.clone()), [splits, m, m], DType::F32)?;
        let grid = Grid::tiles([tiles / 2 + 1, tiles, splits]);
        let (x, to) = (x.into(), (&mut partial).into());
        match quantity {
            Quantity::SquaredDistance => {
                gpu.launch(grid, kernels::BatchContrastiveDistances { x, partial: to, m, d })?;
            }
            Quantity::InnerProduct => gpu.launch(grid, kernels::PairsProducts { x, partial: to, m, d })?,
        }
        Ok(partial)
    }

    /// A grid with a warp for each of `m` images, eight warps per block.
    pub(in crate::ops) fn warp_an_image(m: usize) -> Grid {
        Grid::blocks(m.div_ceil(8))
    }

    /// Writes or adds dx.
    pub(super) fn backward(
        gpu: &CudaDevice,
        saved: &PairsBackward,
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let (m, d) = (saved.x.shape().dims()[0], saved.x.shape().last());
        let backward = kernels::PairsBackward {
            weights: (&saved.weights).into(),
            scales: (&saved.scales).into(),
            x: (&saved.x).into(),
            dy: dy.into(),
            dx: dx.into(),
            differences: usize::from(saved.quantity == Quantity::SquaredDistance),
            accumulate: mode.flag(),
            m,
            d,
        };
        gpu.launch(Grid::over_features(m.div_ceil(IMAGES), d), backward)
    }
}
