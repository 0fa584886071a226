//! Center loss (Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition") as a term of
//! its own, in the form in which Luo et al. 2019 ("Bag of Tricks and a Strong Baseline for Deep Person
//! Re-identification") add it to the triplet loss.
//!
//! x_i is the feature of image i, normalised or not, y_i its identity, c_j the center of identity j. Over a batch of m
//! images
//!
//! - L = (1/m) sum_i ||x_i - c_(y_i)||^2;
//! - dx_i = (2/m) (x_i - c_(y_i)) dL.
//!
//! This is the loss of Luo et al.'s program, so that their weight of 0.0005 is ours. Wen et al. halve the sum, and so
//! does equation (4) of the paper, which is a part of [`crate::ops::batch_contrastive`].
//!
//! # Centers
//!
//! Centers get no gradient. [`crate::ops::center_step`] updates them as Wen et al. do: of an identity with n_j images in
//! the batch, c_j -= rate sum_i \[y_i = j\] (c_j - x_i) / (1 + n_j). Luo et al.'s program descends along the gradient of
//! the loss instead, c_j -= rate (2/m) sum_i \[y_i = j\] (c_j - x_i): there a center moves the slower the larger the
//! batch is, by 1/16 of the way at rate 0.5 in a batch of 16 persons with 4 images, where Wen et al.'s moves by 2/5. We
//! take the published update, because its rate does not depend on the size of a batch, and because the centers of
//! equation (5) move likewise.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the same term as a part of the
//! batch-contrastive loss.

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "center_loss";

/// Computes the center loss `[1]` of features `x` `[m, D]`, labels i32 `[m]` and `centers` `[n, D]`.
///
/// The tape holds a handle to `centers` until the backward pass is done; update the centers after that.
///
/// # Errors
/// If the shapes do not fit together, or, on the CPU, a label is not in 0..n. (On a GPU, where a check of the labels
/// would force a synchronisation, the loss is then NaN.)
pub fn center_loss(tape: &mut Tape<'_>, x: Var, labels: &Tensor, centers: &Tensor) -> Result<Var> {
    let [m, d] = check::matrix(OP, "x", &x.value)?;
    let [_, width] = check::matrix(OP, "centers", centers)?;
    if width != d {
        return Err(Error::shape(
            OP,
            format!("x {} and centers {} differ in width", x.shape(), centers.shape()),
        ));
    }
    check::labels(OP, labels, m)?;
    let mut loss = Tensor::empty(&tape.device(), [1], DType::F32)?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, labels, centers, &mut loss)?,
        Some(gpu) => cuda::forward(gpu, &x.value, labels, centers, &mut loss)?,
    }
    let input = x.handle();
    let backward = CenterLossBackward { x: x.value, labels: labels.clone(), centers: centers.clone() };
    Ok(tape.record(loss, &[input], |_| backward))
}

struct CenterLossBackward {
    x: Tensor,
    labels: Tensor,
    centers: Tensor,
}

impl Backward for CenterLossBackward {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let CenterLossBackward { x, labels, centers } = &*self;
        sinks.add(0, |dx, mode| match dy.gpu() {
            None => {
                cpu::backward(x, labels, centers, &dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, [x, labels, centers], &dy, dx, mode),
        })
    }
}

mod cpu {
    use super::OP;
    use crate::Result;
    use crate::element::GradMode;
    use crate::ops::check;
    use crate::tensor::Tensor;
    use rayon::prelude::*;

    fn center(centers: &Tensor, label: i32, d: usize) -> &[f32] {
        &centers.f32()[label as usize * d..][..d]
    }

    /// Computes the loss. Sums are f64; a task is one image, and the images are summed in the order of the batch.
    pub fn forward(x: &Tensor, labels: &Tensor, centers: &Tensor, loss: &mut Tensor) -> Result<()> {
        let (d, labels) = (x.shape().last(), labels.i32());
        check::cpu::classes(OP, labels, centers.shape().dims()[0])?;
        let images = x.f32().par_chunks(d).zip(labels);
        let squared = |(x, &label): (&[f32], &i32)| -> f64 {
            let pairs = x.iter().zip(center(centers, label, d));
            pairs.map(|(&x, &c)| (f64::from(x) - f64::from(c)).powi(2)).sum()
        };
        let distances: Vec<f64> = images.map(squared).collect();
        loss.f32_mut()[0] = (distances.iter().sum::<f64>() / labels.len() as f64) as f32;
        Ok(())
    }

    /// Writes or adds dx; a task is one image.
    pub fn backward(
        x: &Tensor,
        labels: &Tensor,
        centers: &Tensor,
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) {
        let (d, labels) = (x.shape().last(), labels.i32());
        let scale = 2.0 * dy.f32()[0] / labels.len() as f32;
        let images = dx.f32_mut().par_chunks_mut(d).zip(x.f32().par_chunks(d)).zip(labels);
        images.for_each(|((dx, x), &label)| {
            let pairs = x.iter().zip(center(centers, label, d));
            mode.store(dx, pairs.map(|(x, c)| scale * (x - c)));
        });
    }
}

mod cuda {
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::{DType, GradMode};
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// Enqueues the computation of the loss: two launches.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        x: &Tensor,
        labels: &Tensor,
        centers: &Tensor,
        loss: &mut Tensor,
    ) -> Result<()> {
        let ([m, d], classes) = ([x.shape().dims()[0], x.shape().last()], centers.shape().dims()[0]);
        let mut distances = Tensor::empty(&Device::Cuda(gpu.clone()), [m], DType::F32)?;
        let forward = kernels::CenterLossForward {
            x: x.into(),
            labels: labels.into(),
            centers: centers.into(),
            distances: (&mut distances).into(),
            d,
            classes,
        };
        gpu.launch(Grid::blocks(m), forward)?;
        let mean = kernels::CenterLossMean { distances: (&distances).into(), loss: loss.into(), m };
        gpu.launch(Grid::blocks(1), mean)
    }

    /// Writes or adds dx.
    pub fn backward(
        gpu: &CudaDevice,
        [x, labels, centers]: [&Tensor; 3],
        dy: &Tensor,
        dx: &mut Tensor,
        mode: GradMode,
    ) -> Result<()> {
        let ([m, d], classes) = ([x.shape().dims()[0], x.shape().last()], centers.shape().dims()[0]);
        let (x, labels, centers, dy, dx) = (x.into(), labels.into(), centers.into(), dy.into(), dx.into());
        let accumulate = mode.flag();
        let backward = kernels::CenterLossBackward { x, labels, centers, dy, dx, accumulate, d, classes };
        gpu.launch(Grid::over_features(m, d), backward)
    }
}
