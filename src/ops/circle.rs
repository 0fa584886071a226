//! Circle loss with pair-wise labels (Sun et al. 2020, "Circle Loss: A Unified Perspective of Pair Similarity
//! Optimization", equations 6 to 8).
//!
//! x_i is the normalised feature of image i, y_i its identity, s_ij = x_i . x_j the cosine similarity of two images.
//! With the relaxation (margin) m and the scale gamma, the pair (i, j) has the logit
//!
//! - of a positive, y_i = y_j and i != j: p_ij = -gamma alpha (s_ij - (1 - m)), alpha = max(0, 1 + m - s_ij);
//! - of a negative, y_i != y_j: n_ij = gamma alpha (s_ij - m), alpha = max(0, s_ij + m),
//!
//! and a set of pairs has the loss log(1 + sum exp(n) sum exp(p)) = softplus(LSE(n) + LSE(p)) over its positives and
//! negatives. LSE is the log-sum-exp relative to its largest logit, which does not overflow. [`Scope`] selects the
//! sets: the paper's, one for each anchor, or one for the whole batch.
//!
//! # Gradient
//!
//! alpha is held constant, as in the paper: dp/ds = -gamma alpha and dn/ds = gamma alpha. The gradient is therefore not
//! the derivative of the loss as a function of the features. With the softmax weights of the pairs within their set,
//! dL/ds_ij = sigmoid(LSE(n) + LSE(p)) exp(p_ij - LSE(p)) dp/ds for a positive, likewise for a negative, and dx_i =
//! sum_j dL/ds_ij x_j over all pairs on whose side i is.
//!
//! Features are used as they are: of features that are not normalised s is not a cosine. A NaN feature makes the loss
//! NaN.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the loss on pairs of the paper; no
//! chapter explains this one.

use crate::autograd::{Tape, Var};
use crate::ops::check;
use crate::ops::pairs::{Outputs, Quantity};
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "circle";

/// The sets of pairs, each with one loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The pairs of each anchor, as in the paper and in pytorch-metric-learning. The loss is the mean over the anchors:
    /// the images with another image of their identity and one of another in the batch. The others are left out;
    /// without any anchor the loss is 0.
    Anchor,
    /// All pairs i < j of the batch, and the loss is divided by the number of images, as in layumi's
    /// Person_reID_baseline_pytorch. Without a positive or without a negative pair the loss is 0.
    Batch,
}

/// The options of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The relaxation m, in cosine similarity: finite, at least 0.
    pub margin: f32,
    /// The scale gamma: finite, above 0.
    pub gamma: f32,
    /// The sets of pairs.
    pub scope: Scope,
}

/// The index of each term in [`Circle::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The number of anchors: images with a positive and a negative in the batch.
    Anchors,
    /// The mean similarity of the positive pairs; NaN without one.
    Positive,
    /// The mean similarity of the negative pairs; NaN without one.
    Negative,
}

impl Term {
    /// The number of terms.
    pub const COUNT: usize = 3;
}

/// The loss and its terms.
#[derive(Debug)]
pub struct Circle {
    /// The loss, f32 `[1]`.
    pub loss: Var,
    /// The terms, f32 `[Term::COUNT]`, indexed by `Term as usize`: for logs, not differentiable.
    pub terms: Tensor,
}

/// Computes the circle loss of normalised features `x` `[m, D]` and labels i32 `[m]`, which may be any numbers.
///
/// # Errors
/// If the shapes do not fit together, or an option is out of its range.
pub fn circle(tape: &mut Tape<'_>, x: Var, labels: &Tensor, options: Options) -> Result<Circle> {
    let [m, _] = check::matrix(OP, "x", &x.value)?;
    check::labels(OP, labels, m)?;
    let Options { margin, gamma, .. } = options;
    if !(0.0..f32::INFINITY).contains(&margin) {
        return Err(Error::shape(OP, format!("the margin {margin} is not a finite number of at least 0")));
    }
    if !(f32::MIN_POSITIVE..f32::INFINITY).contains(&gamma) {
        return Err(Error::shape(OP, format!("the scale gamma {gamma} is not a finite number above 0")));
    }
    let input = x.handle();
    let mut outputs = Outputs::empty(&tape.device(), m, Term::COUNT, tape.needs_grad(input))?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, labels, options, &mut outputs),
        Some(gpu) => cuda::forward(gpu, &x.value, labels, options, &mut outputs)?,
    }
    let (loss, terms) = outputs.record(tape, OP, x, Quantity::InnerProduct);
    Ok(Circle { loss, terms })
}

mod cpu {
    use super::{Options, Scope, Term};
    use crate::ops::pairs::cpu::Pairs;
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;

    /// The log-sum-exp of some logits in two parts, the largest one M and sum exp(logit - M): their sum would lose
    /// digits.
    #[derive(Clone, Copy)]
    struct LogSumExp {
        max: f64,
        sum: f64,
    }

    impl LogSumExp {
        const EMPTY: LogSumExp = LogSumExp { max: f64::NEG_INFINITY, sum: 0.0 };

        fn add(&mut self, logit: f64) {
            self.merge(LogSumExp { max: logit, sum: 1.0 });
        }

        fn merge(&mut self, other: LogSumExp) {
            if other.is_empty() {
                return;
            }
            let max = self.max.max(other.max);
            let moved =
                |part: LogSumExp| if part.is_empty() { 0.0 } else { part.sum * (part.max - max).exp() };
            *self = LogSumExp { max, sum: moved(*self) + moved(other) };
        }

        fn is_empty(&self) -> bool {
            self.sum == 0.0
        }

        /// exp(logit) over the sum of all.
        fn share(&self, logit: f64) -> f64 {
            (logit - self.max).exp() / self.sum
        }
    }

    /// The positives and the negatives of a set of pairs.
    #[derive(Clone, Copy)]
    struct Set {
        positives: LogSumExp,
        negatives: LogSumExp,
    }

    impl Set {
        const EMPTY: Set = Set { positives: LogSumExp::EMPTY, negatives: LogSumExp::EMPTY };

        fn has_both(&self) -> bool {
            !self.positives.is_empty() && !self.negatives.is_empty()
        }

        fn of_kind(&mut self, same: bool) -> &mut LogSumExp {
            if same { &mut self.positives } else { &mut self.negatives }
        }

        /// LSE(n) + LSE(p).
        fn z(&self) -> f64 {
            (self.positives.max + self.negatives.max) + (self.positives.sum.ln() + self.negatives.sum.ln())
        }
    }

    /// The logit of a pair and its derivative by the similarity, with alpha as a constant.
    fn logit(same: bool, similarity: f32, Options { margin, gamma, .. }: Options) -> (f64, f64) {
        let [similarity, margin, gamma] = [similarity, margin, gamma].map(f64::from);
        let (slope, threshold) = match same {
            true => (-gamma * (1.0 + margin - similarity).max(0.0), 1.0 - margin),
            false => (gamma * (similarity + margin).max(0.0), margin),
        };
        (slope * (similarity - threshold), slope)
    }

    /// Computes all outputs in f64 from the f32 similarities.
    pub fn forward(x: &Tensor, labels: &Tensor, options: Options, outputs: &mut Outputs) {
        let (pairs, labels) = (Pairs::of(x, Quantity::InnerProduct), labels.i32());
        let m = labels.len();
        let mut sets = vec![Set::EMPTY; m];
        let (mut sums, mut counts) = ([0.0f64; 2], [0u64; 2]);
        for i in 0..m {
            for j in (0..m).filter(|&j| j != i) {
                let (same, similarity) = (labels[i] == labels[j], pairs.get(i, j));
                sets[i].of_kind(same).add(logit(same, similarity, options).0);
                sums[usize::from(same)] += f64::from(similarity);
                counts[usize::from(same)] += 1;
            }
        }
        let anchors = sets.iter().filter(|set| set.has_both()).count();
        // The sum of the losses, and for each image its set and the derivative of the set's loss by LSE(n) + LSE(p).
        let (loss, of_images, divisor) = match options.scope {
            Scope::Anchor => {
                let of_set = |set: &Set| if set.has_both() { softplus(set.z()) } else { (0.0, 0.0) };
                let losses: Vec<(f64, f64)> = sets.iter().map(of_set).collect();
                let loss = losses.iter().map(|(loss, _)| loss).sum::<f64>();
                (
                    loss,
                    sets.into_iter().zip(losses).map(|(set, (_, slope))| (set, slope)).collect(),
                    anchors.max(1),
                )
            }
            Scope::Batch => {
                let mut all = Set::EMPTY;
                for set in sets {
                    all.positives.merge(set.positives);
                    all.negatives.merge(set.negatives);
                }
                // Each pair is in the sums of both of its images, but once in the loss.
                let z = all.z() - 2.0 * std::f64::consts::LN_2;
                let (loss, slope) = if all.has_both() { softplus(z) } else { (0.0, 0.0) };
                (loss, vec![(all, slope); m], m)
            }
        };
        if let Some(weights) = &mut outputs.weights {
            write_weights(&pairs, labels, options, &of_images, weights.f32_mut());
        }
        let terms = outputs.terms.f32_mut();
        terms[Term::Anchors as usize] = anchors as f32;
        // Without a pair 0 / 0 = NaN, which is documented.
        terms[Term::Positive as usize] = (sums[1] / counts[1] as f64) as f32;
        terms[Term::Negative as usize] = (sums[0] / counts[0] as f64) as f32;
        outputs.loss.f32_mut()[0] = (loss / divisor as f64) as f32;
        outputs.scales.f32_mut().fill((1.0 / divisor as f64) as f32);
    }

    /// Writes the derivative of the sum of the losses by each similarity, as seen from its first image.
    fn write_weights(
        pairs: &Pairs,
        labels: &[i32],
        options: Options,
        of_images: &[(Set, f64)],
        weights: &mut [f32],
    ) {
        for (i, (row, &(set, slope))) in weights.chunks_mut(labels.len()).zip(of_images).enumerate() {
            for (j, weight) in row.iter_mut().enumerate() {
                *weight = 0.0;
                if i != j && slope != 0.0 {
                    let same = labels[i] == labels[j];
                    let (logit, by_similarity) = logit(same, pairs.get(i, j), options);
                    let lse = if same { set.positives } else { set.negatives };
                    *weight = (slope * lse.share(logit) * by_similarity) as f32;
                }
            }
        }
    }

    /// log(1 + exp(z)) and its derivative.
    fn softplus(z: f64) -> (f64, f64) {
        (z.max(0.0) + (-z.abs()).exp().ln_1p(), 1.0 / (1.0 + (-z).exp()))
    }
}

mod cuda {
    use super::{Options, Scope};
    use crate::Result;
    use crate::device::Device;
    use crate::device::cuda::{CudaDevice, Grid, kernels};
    use crate::element::DType;
    use crate::ops::pairs::cuda::{parts, warp_an_image};
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;
    use std::sync::Arc;

    /// Enqueues the computation of all outputs: three launches, and one more for the weights.
    pub fn forward(
        gpu: &Arc<CudaDevice>,
        x: &Tensor,
        labels: &Tensor,
        options: Options,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let (device, m) = (Device::Cuda(gpu.clone()), labels.shape().len());
        let Options { margin, gamma, scope } = options;
        let partial = parts(gpu, x, Quantity::InnerProduct)?;
        let splits = partial.shape().dims()[0];
        let needs_grad = outputs.weights.is_some();
        // The weights take the place of the similarities.
        let mut similarities = match outputs.weights.take() {
            Some(weights) => weights,
            None => Tensor::empty(&device, [m, m], DType::F32)?,
        };
        let mut rows = Tensor::empty(&device, [m, 8], DType::F32)?;
        let of_each = kernels::CircleRows {
            partial: (&partial).into(),
            labels: labels.into(),
            margin,
            gamma,
            similarities: (&mut similarities).into(),
            rows: (&mut rows).into(),
            splits,
            m,
        };
        gpu.launch(warp_an_image(m), of_each)?;
        let mut softmax = Tensor::empty(&device, [m, 5], DType::F32)?;
        let terms = kernels::CircleTerms {
            rows: (&rows).into(),
            whole_batch: usize::from(scope == Scope::Batch),
            terms: (&mut outputs.terms).into(),
            loss: (&mut outputs.loss).into(),
            scales: (&mut outputs.scales).into(),
            softmax: (&mut softmax).into(),
            m,
        };
        gpu.launch(Grid::blocks(1), terms)?;
        if needs_grad {
            let weights = kernels::CircleWeights {
                similarities: (&mut similarities).into(),
                labels: labels.into(),
                softmax: (&softmax).into(),
                margin,
                gamma,
                m,
            };
            gpu.launch(Grid::blocks((m * m).div_ceil(256)), weights)?;
            outputs.weights = Some(similarities);
        }
        Ok(())
    }
}
