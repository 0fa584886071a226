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
//! Every positive pair counts from both of its sides; a batch of one identity has no hinge.
//!
//! # Sum or mean
//!
//! (3) and (4) are written as sums, while (2), the softmax loss, is a mean over the m images of the batch. The
//! authors worked in Caffe, whose loss layers divide by the batch size: `ContrastiveLossLayer` and the center-loss
//! layer of Wen et al. (2016) both do. [`Reduction`] selects: `Sum` follows (3) and (4) literally, `Mean` divides both,
//! and so their gradient, by m. A lambda for `Mean` corresponds to lambda / m for `Sum`.
//!
//! # Two gradients
//!
//! The paper's (8),
//!
//! dx_i = sum_j \[y_i = y_j\] (x_i - x_j) - \[d_ih(i) < tau\] (x_i - x_h(i)) + (x_i - c_(y_i)),
//!
//! is not the derivative of (3): it is the derivative with every partner sample held constant. The exact derivative
//! has the positive sum twice (x_i is on both sides of its pairs) and an extra -(x_i - x_j) for each j whose active
//! hardest negative is i. [`Gradient`] selects. At the kink d = tau the gradient of the hinge is taken as 0. (8)
//! compares the un-squared distance with tau where (3) compares the squared one; here both use the squared distance.
//! Centers get no gradient: [`crate::ops::center_step`] updates them.
//!
//! # Close pairs
//!
//! Distances are sums of squared differences and not ||a||^2 + ||b||^2 - 2 a.b, whose rounding error of about 1e-7
//! exceeds the distances of near-duplicates, which matter in the positive term. The product form is faster only for
//! batches far larger than fit in memory beside the network.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md).

mod cpu;
mod cuda;

use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "batch_contrastive";

/// The gradient of the loss: the paper's or the exact one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gradient {
    /// Equation (8): the other samples of the batch are held constant.
    Paper,
    /// The derivative of (3) and (4).
    Exact,
}

/// The reduction of (3) and (4) over the images of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The sum, as (3) and (4) are written.
    Sum,
    /// The mean over the images, as in Caffe's loss layers.
    Mean,
}

impl Reduction {
    /// The factor on the sums over a batch of `m` images: 1 or 1/m.
    pub fn factor(self, m: usize) -> f64 {
        match self {
            Reduction::Sum => 1.0,
            Reduction::Mean => 1.0 / m as f64,
        }
    }

    /// The name in the settings: `sum` or `mean`.
    pub fn name(self) -> &'static str {
        match self {
            Reduction::Sum => "sum",
            Reduction::Mean => "mean",
        }
    }
}

/// The options of the loss where the paper leaves a choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The gradient of the backward pass.
    pub gradient: Gradient,
    /// The reduction over the batch.
    pub reduction: Reduction,
    /// The margin of the hinge: a squared distance, finite, at least 0.
    pub tau: f32,
}

/// The index of each term in [`BatchContrastive::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The positive part of L_b: half the sum of squared distances within identities, each pair twice; over m if
    /// the reduction is the mean.
    Positive,
    /// The hinge part of L_b, reduced likewise.
    Hinge,
    /// L_c, reduced likewise.
    Center,
    /// The number of positive pairs: pairs i < j of one identity.
    PositivePairs,
    /// The mean Euclidean (not squared) distance of the positive pairs, the blue dots of the paper's figure 1; NaN in a
    /// batch without such a pair.
    IntraMean,
    /// The mean Euclidean distance of the negative pairs (i < j of two identities), the green dots; NaN in a batch of
    /// one identity.
    InterMean,
    /// The smallest Euclidean distance of the negative pairs, the orange dots; NaN in a batch of one identity.
    InterMin,
}

impl Term {
    /// The number of terms.
    pub const COUNT: usize = 7;
}

/// The loss and its terms.
#[derive(Debug)]
pub struct BatchContrastive {
    /// The loss L_b + L_c, f32 `[1]`.
    pub loss: Var,
    /// The terms, f32 `[Term::COUNT]`, indexed by `Term as usize`: for logs and reports, not differentiable. The first
    /// three add up to the loss.
    pub terms: Tensor,
}

/// Computes the batch-contrastive loss of normalised features `x` `[m, D]`, labels i32 `[m]` and `centers` `[n, D]`.
///
/// The tape holds a handle to `centers` until the backward pass is done; update the centers after that.
///
/// # Errors
/// If the shapes do not fit together, `tau` is negative or not finite, or, on the CPU, a label is not in 0..n. (On a
/// GPU, where a check of the labels would force a synchronisation, the loss is then NaN.)
pub fn batch_contrastive(
    tape: &mut Tape<'_>,
    x: Var,
    labels: &Tensor,
    centers: &Tensor,
    options: Options,
) -> Result<BatchContrastive> {
    let Options { gradient, reduction, tau } = options;
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
            cpu::forward(&batch, &distances, options, &mut hardest, &mut terms, &mut loss);
        }
        Some(gpu) => cuda::forward(gpu, &batch, options, &mut hardest, &mut terms, &mut loss)?,
    }
    let input = x.handle();
    let (labels, centers) = (labels.clone(), centers.clone());
    let backward = BatchContrastiveBackward { x: x.value, labels, centers, hardest, gradient, reduction };
    let loss = tape.record(loss, &[input], |_| backward);
    Ok(BatchContrastive { loss, terms })
}

/// The inputs of both passes.
struct Batch<'a> {
    x: &'a Tensor,
    labels: &'a Tensor,
    centers: &'a Tensor,
}

/// The saved values. The distances are not saved: for known hardest negatives the gradient is linear in the features.
struct BatchContrastiveBackward {
    x: Tensor,
    labels: Tensor,
    centers: Tensor,
    /// The hardest negative h(i) of each image whose hinge is active, else -1; i32 `[m]`.
    hardest: Tensor,
    gradient: Gradient,
    reduction: Reduction,
}

impl Backward for BatchContrastiveBackward {
    fn op(&self) -> &'static str {
        OP
    }

    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        let batch = Batch { x: &self.x, labels: &self.labels, centers: &self.centers };
        let derivative = (self.gradient, self.reduction);
        sinks.add(0, |dx, mode| match dy.gpu() {
            None => {
                cpu::backward(&batch, &self.hardest, derivative, &dy, dx, mode);
                Ok(())
            }
            Some(gpu) => cuda::backward(gpu, &batch, &self.hardest, derivative, &dy, dx, mode),
        })
    }
}
