//! The update of the class centers: equation (5) of the paper, and (6) with its sign corrected.
//!
//! delta_j = sum_i \[y_i = j\] (c_j - x_i) / (1 + count_j) and c_j -= rate delta_j.
//!
//! The paper's (6) adds delta_j, which would move a center away from its class: delta_j points from the class to the
//! center. Wen et al. (2016), whom the paper cites, subtract delta_j, and so does this operation. The 1 in the divisor
//! avoids a division by 0 for a class that is absent from the batch.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md).

use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "center_step";

/// Updates the rows of `centers` `[n, D]` whose class is among `labels` i32 `[m]`: moves them towards the normalised
/// features `x` `[m, D]`. `rate` is the learning rate of the centers, f32 `[1]`.
///
/// # Errors
/// If the shapes do not fit together, or, on the CPU, a label is not in 0..n. (A GPU ignores such an image, since a
/// check of the labels would force a synchronisation.)
pub fn center_step(centers: &mut Tensor, x: &Tensor, labels: &Tensor, rate: &Tensor) -> Result<()> {
    let [_, d] = check::matrix(OP, "centers", centers)?;
    let [m, width] = check::matrix(OP, "x", x)?;
    if width != d {
        return Err(Error::shape(
            OP,
            format!("x {} and centers {} differ in width", x.shape(), centers.shape()),
        ));
    }
    check::labels(OP, labels, m)?;
    check::scalar(OP, "the learning rate", rate)?;
    match x.gpu() {
        None => cpu::step(centers, x, labels, rate),
        Some(gpu) => cuda::step(gpu, centers, x, labels, rate),
    }
}

mod cpu {
    use super::OP;
    use crate::Result;
    use crate::ops::check;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    /// Updates the centers; a task is one class, whose images are summed in the order of the batch, in f64.
    pub fn step(centers: &mut Tensor, x: &Tensor, labels: &Tensor, rate: &Tensor) -> Result<()> {
        let (d, x, labels, rate) = (x.shape().last(), x.f32(), labels.i32(), rate.f32()[0]);
        check::cpu::classes(OP, labels, centers.shape().dims()[0])?;
        centers.f32_mut().par_chunks_mut(d).enumerate().for_each(|(class, center)| {
            let members = || labels.iter().zip(x.chunks(d)).filter(|(y, _)| **y as usize == class);
            let count = members().count();
            if count == 0 {
                return;
            }
            // ANCHOR: step
            let mut delta = vec![0.0f64; d];
            for (_, x) in members() {
                for ((delta, &c), &x) in delta.iter_mut().zip(&*center).zip(x) {
                    *delta += f64::from(c) - f64::from(x);
                }
            }
            let factor = f64::from(rate) / (1.0 + count as f64);
            center.iter_mut().zip(delta).for_each(|(c, delta)| *c = (f64::from(*c) - factor * delta) as f32);
            // ANCHOR_END: step
        });
        Ok(())
    }
}

pub(super) mod cuda {
    use crate::Result;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::tensor::Tensor;

    pub fn step(
        gpu: &CudaDevice,
        centers: &mut Tensor,
        x: &Tensor,
        labels: &Tensor,
        rate: &Tensor,
    ) -> Result<()> {
        let ([m, d], classes) = ([x.shape().dims()[0], x.shape().last()], centers.shape().dims()[0]);
        let (centers, x, labels, rate) = (centers.into(), x.into(), labels.into(), rate.into());
        let step = kernels::CenterStep { centers, x, labels, rate, m, d, classes };
        gpu.launch(Grid::over_features(m, d), step)
    }
}
