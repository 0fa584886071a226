//! Contrastive loss of pairs (Hadsell, Chopra and LeCun 2006, "Dimensionality Reduction by Learning an Invariant
//! Mapping"), in the form of the library pytorch-metric-learning with its defaults.
//!
//! x_i is the feature of image i, y_i its identity, d_ij = ||x_i - x_j|| the Euclidean distance, not squared. A pair
//! costs
//!
//! - max(0, d_ij - positive_margin) if y_i = y_j,
//! - max(0, negative_margin - d_ij) if not,
//!
//! and the loss is the mean over the pairs of one identity whose cost is not 0, plus the mean over the pairs of two
//! identities whose cost is not 0. A mean over no pair is 0. (The paper squares both costs and halves them.) The
//! margins 0 and 1 are meant for features of length 1: normalise them before.
//!
//! # Gradient
//!
//! The exact derivative, with the numbers of pairs as constants, as they are between the kinks: u_ij = (x_i - x_j) /
//! d_ij over the number of its kind for a pair of one identity, -u_ij for another. At distance 0 the direction is
//! undefined, and the gradient 0: copies of an image are neither pulled nor pushed. At a margin the cost is 0, and so
//! is the gradient. A NaN or infinite distance makes the loss NaN.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the loss on pairs of the paper; no
//! chapter explains this one.

use crate::autograd::{Tape, Var};
use crate::ops::check;
use crate::ops::pairs::{Outputs, Quantity};
use crate::tensor::Tensor;
use crate::{Error, Result};

const OP: &str = "contrastive";

/// The margins of the loss: Euclidean distances, finite, at least 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    /// Pairs of one identity that are nearer cost nothing.
    pub positive: f32,
    /// Pairs of two identities that are farther apart cost nothing.
    pub negative: f32,
}

impl Default for Margins {
    /// 0 and 1, the defaults of pytorch-metric-learning.
    fn default() -> Self {
        Margins { positive: 0.0, negative: 1.0 }
    }
}

/// The index of each term in [`Contrastive::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The mean cost of the pairs of one identity that is not 0.
    Positive,
    /// The mean cost of the pairs of two identities that is not 0.
    Negative,
    /// The number of pairs i < j of one identity whose cost is not 0.
    PositivePairs,
    /// The number of pairs i < j of two identities whose cost is not 0.
    NegativePairs,
}

impl Term {
    /// The number of terms.
    pub const COUNT: usize = 4;
}

/// The loss and its terms.
#[derive(Debug)]
pub struct Contrastive {
    /// The loss, f32 `[1]`: the sum of the first two terms.
    pub loss: Var,
    /// The terms, f32 `[Term::COUNT]`, indexed by `Term as usize`: for logs, not differentiable.
    pub terms: Tensor,
}

/// Computes the contrastive loss of features `x` `[m, D]` and labels i32 `[m]`, which may be any numbers.
///
/// # Errors
/// If the shapes do not fit together, or a margin is negative or not finite.
pub fn contrastive(tape: &mut Tape<'_>, x: Var, labels: &Tensor, margins: Margins) -> Result<Contrastive> {
    let [m, _] = check::matrix(OP, "x", &x.value)?;
    check::labels(OP, labels, m)?;
    for (name, margin) in [("positive", margins.positive), ("negative", margins.negative)] {
        if !(0.0..f32::INFINITY).contains(&margin) {
            let message = format!("the {name} margin {margin} is not a finite number of at least 0");
            return Err(Error::shape(OP, message));
        }
    }
    let input = x.handle();
    let mut outputs = Outputs::empty(&tape.device(), m, Term::COUNT, tape.needs_grad(input))?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, labels, margins, &mut outputs),
        Some(gpu) => cuda::forward(gpu, &x.value, labels, margins, &mut outputs)?,
    }
    let (loss, terms) = outputs.record(tape, OP, x, Quantity::SquaredDistance);
    Ok(Contrastive { loss, terms })
}

mod cpu {
    use super::{Margins, Term};
    use crate::ops::pairs::cpu::Pairs;
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;

    /// The pairs i < j of one kind.
    #[derive(Default)]
    struct Kind {
        cost: f64,
        pairs: u64,
    }

    impl Kind {
        fn mean(&self) -> f64 {
            // Without a pair the sum is 0, or NaN.
            self.cost / self.pairs.max(1) as f64
        }

        /// The factor of the weights, which count each pair from both of its sides.
        fn scale(&self) -> f32 {
            if self.pairs > 0 { (0.5 / self.pairs as f64) as f32 } else { 0.0 }
        }
    }

    /// Computes all outputs; sums are f64.
    pub fn forward(x: &Tensor, labels: &Tensor, margins: Margins, outputs: &mut Outputs) {
        let (pairs, labels) = (Pairs::of(x, Quantity::SquaredDistance), labels.i32());
        let m = labels.len();
        let mut weights = outputs.weights.as_mut().map(Tensor::f32_mut);
        if let Some(weights) = &mut weights {
            weights.fill(0.0);
        }
        let (mut positive, mut negative) = (Kind::default(), Kind::default());
        for i in 0..m {
            for j in i + 1..m {
                let distance = f64::from(pairs.get(i, j)).sqrt();
                let (kind, cost, sign) = if labels[i] == labels[j] {
                    (&mut positive, distance - f64::from(margins.positive), 1.0)
                } else {
                    (&mut negative, f64::from(margins.negative) - distance, -1.0)
                };
                // The second term is 0, or NaN if the distance is NaN or infinite, which a comparison may hide.
                kind.cost += cost.max(0.0) + 0.0 * distance;
                if cost > 0.0 {
                    kind.pairs += 1;
                    if let Some(weights) = &mut weights
                        && distance > 0.0
                    {
                        let weight = (sign / distance) as f32;
                        weights[i * m + j] = weight;
                        weights[j * m + i] = weight;
                    }
                }
            }
        }
        let terms = outputs.terms.f32_mut();
        terms[Term::Positive as usize] = positive.mean() as f32;
        terms[Term::Negative as usize] = negative.mean() as f32;
        terms[Term::PositivePairs as usize] = positive.pairs as f32;
        terms[Term::NegativePairs as usize] = negative.pairs as f32;
        outputs.loss.f32_mut()[0] = (positive.mean() + negative.mean()) as f32;
        outputs.scales.f32_mut().copy_from_slice(&[positive.scale(), negative.scale()]);
    }
}

mod cuda {
    use super::Margins;
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::DType;
    use crate::ops::pairs::cuda::{parts, warp_an_image};
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// Enqueues the computation of all outputs: three launches.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        x: &Tensor,
        labels: &Tensor,
        margins: Margins,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let m = labels.shape().len();
        let partial = parts(gpu, x, Quantity::SquaredDistance)?;
        let mut rows = Tensor::empty(&Device::Cuda(gpu.clone()), [m, 4], DType::F32)?;
        let of_each = kernels::ContrastiveRows {
            partial: (&partial).into(),
            labels: labels.into(),
            positive_margin: margins.positive,
            negative_margin: margins.negative,
            rows: (&mut rows).into(),
            weights: outputs.weights.as_mut().map(Into::into),
            splits: partial.shape().dims()[0],
            m,
        };
        gpu.launch(warp_an_image(m), of_each)?;
        let terms = kernels::ContrastiveTerms {
            rows: (&rows).into(),
            terms: (&mut outputs.terms).into(),
            loss: (&mut outputs.loss).into(),
            scales: (&mut outputs.scales).into(),
            m,
        };
        gpu.launch(Grid::blocks(1), terms)
    }
}
