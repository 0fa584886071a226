//! Batch-hard triplet loss (Hermans, Beyer and Leibe 2017, "In Defense of the Triplet Loss for Person
//! Re-Identification", equations 5 and 6).
//!
//! x_i is the feature of image i, y_i its identity, d_ij the distance of two images. For an anchor a,
//!
//! - p(a): the hardest positive, the farthest image of the same identity other than a;
//! - n(a): the hardest negative, the nearest image of another identity;
//! - l_a = max(0, d_ap - d_an + margin), or log(1 + exp(d_ap - d_an)) with the soft margin.
//!
//! Ties go to the lowest index. An image is an anchor if the batch has another image of its identity and an image of
//! another one; the others are left out, whatever the numbers of images of the identities are. The loss is the mean
//! over the anchors, inactive ones included, and 0, with a gradient of 0, in a batch without an anchor.
//!
//! # Distance
//!
//! d_ij = sqrt(||x_i - x_j||^2 + 1e-12), as in the authors' published code, or ||x_i - x_j||^2. Features are meant
//! un-normalised.
//!
//! # Gradient
//!
//! The exact derivative: with s_a = dl_a / d(d_ap - d_an), which is 1 or 0 for the hard margin (0 at the kink) and the
//! logistic function of d_ap - d_an for the soft one, anchor a adds
//!
//! - s_a (u_ap - u_an) to the gradient of x_a, -s_a u_ap to that of x_p and s_a u_an to that of x_n,
//!
//! over the number of anchors, where u_ij = (x_i - x_j) / d_ij, or 2 (x_i - x_j) for squared distances. For images at
//! the same place u is 0: 1e-12 under the root keeps it finite and at most of length 1, and two copies of an image are
//! not pushed apart. A NaN or infinite distance makes the loss NaN.

use crate::autograd::{Tape, Var};
use crate::ops::check;
use crate::ops::pairs::{Outputs, Quantity};
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

const OP: &str = "triplet";
/// Added to the squared distance under the root.
const EPSILON: f64 = 1e-12;
/// An anchor is active if its loss is above this, as in the authors' published code.
const ACTIVE: f64 = 1e-5;

/// The margin of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// max(0, d_ap - d_an + margin): a distance in the unit of [`Distance`], finite, at least 0.
    Hard(f32),
    /// log(1 + exp(d_ap - d_an)).
    Soft,
}

/// The distance of two images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// The Euclidean distance, with 1e-12 under the root.
    Euclidean,
    /// The squared Euclidean distance.
    Squared,
}

/// The options of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The margin.
    pub margin: Margin,
    /// The distance.
    pub distance: Distance,
}

/// The index of each term in [`Triplet::terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// The number of anchors: images with a positive and a negative in the batch.
    Anchors,
    /// The share of anchors with a loss above 1e-5; NaN in a batch without an anchor, as the following terms.
    Active,
    /// The mean distance from an anchor to its hardest positive, in the unit of [`Distance`].
    Positive,
    /// The mean distance from an anchor to its hardest negative.
    Negative,
}

impl Term {
    /// The number of terms.
    pub const COUNT: usize = 4;
}

/// The loss and its terms.
#[derive(Debug)]
pub struct Triplet {
    /// The loss, f32 `[1]`.
    pub loss: Var,
    /// The terms, f32 `[Term::COUNT]`, indexed by `Term as usize`: for logs, not differentiable.
    pub terms: Tensor,
}

/// Computes the batch-hard triplet loss of features `x` `[m, D]` and labels i32 `[m]`, which may be any numbers.
///
/// # Errors
/// If the shapes do not fit together, or the margin is negative or not finite.
pub fn triplet(tape: &mut Tape<'_>, x: Var, labels: &Tensor, options: Options) -> Result<Triplet> {
    let [m, _] = check::matrix(OP, "x", &x.value)?;
    check::labels(OP, labels, m)?;
    if let Margin::Hard(margin) = options.margin
        && !(0.0..f32::INFINITY).contains(&margin)
    {
        return Err(Error::shape(OP, format!("the margin {margin} is not a finite number of at least 0")));
    }
    let input = x.handle();
    let mut outputs = Outputs::empty(&tape.device(), m, Term::COUNT, tape.needs_grad(input))?;
    match x.value.gpu() {
        None => cpu::forward(&x.value, labels, options, &mut outputs),
        Some(gpu) => cuda::forward(gpu, &x.value, labels, options, &mut outputs)?,
    }
    let (loss, terms) = outputs.record(tape, OP, x, Quantity::SquaredDistance);
    Ok(Triplet { loss, terms })
}

mod cpu {
    use super::{ACTIVE, Distance, EPSILON, Margin, Options, Term};
    use crate::ops::pairs::cpu::Pairs;
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;

    /// An image at a squared distance.
    #[derive(Clone, Copy)]
    struct Partner {
        index: usize,
        squared: f32,
    }

    /// Computes all outputs; sums are f64.
    pub fn forward(x: &Tensor, labels: &Tensor, options: Options, outputs: &mut Outputs) {
        let (pairs, labels) = (Pairs::of(x, Quantity::SquaredDistance), labels.i32());
        let m = labels.len();
        let (mut anchors, mut active) = (0u32, 0u32);
        let (mut loss, mut positives, mut negatives) = (0.0, 0.0, 0.0);
        let mut weights = outputs.weights.as_mut().map(Tensor::f32_mut);
        if let Some(weights) = &mut weights {
            weights.fill(0.0);
        }
        for i in 0..m {
            let (mut farthest, mut nearest): (Option<Partner>, Option<Partner>) = (None, None);
            // NaN if any distance is NaN or infinite: a comparison would ignore it.
            let mut poison = 0.0;
            for j in (0..m).filter(|&j| j != i) {
                let squared = pairs.get(i, j);
                poison += 0.0 * squared;
                if labels[i] == labels[j] {
                    if farthest.is_none_or(|partner| squared > partner.squared) {
                        farthest = Some(Partner { index: j, squared });
                    }
                } else if nearest.is_none_or(|partner| squared < partner.squared) {
                    nearest = Some(Partner { index: j, squared });
                }
            }
            let (Some(farthest), Some(nearest)) = (farthest, nearest) else { continue };
            let positive = distance(farthest.squared, options) + f64::from(poison);
            let negative = distance(nearest.squared, options) + f64::from(poison);
            let (cost, slope) = cost(positive - negative, options.margin);
            anchors += 1;
            active += u32::from(cost > ACTIVE);
            loss += cost;
            positives += positive;
            negatives += negative;
            if let Some(weights) = &mut weights {
                let weight = |distance: f64| match options.distance {
                    Distance::Euclidean => slope / distance,
                    Distance::Squared => 2.0 * slope,
                };
                weights[i * m + farthest.index] = weight(positive) as f32;
                weights[i * m + nearest.index] = -weight(negative) as f32;
            }
        }
        let count = f64::from(anchors);
        let terms = outputs.terms.f32_mut();
        // Without an anchor 0 / 0 = NaN, which is documented.
        terms[Term::Anchors as usize] = count as f32;
        terms[Term::Active as usize] = (f64::from(active) / count) as f32;
        terms[Term::Positive as usize] = (positives / count) as f32;
        terms[Term::Negative as usize] = (negatives / count) as f32;
        outputs.loss.f32_mut()[0] = if anchors > 0 { (loss / count) as f32 } else { 0.0 };
        outputs.scales.f32_mut().fill(if anchors > 0 { (1.0 / count) as f32 } else { 0.0 });
    }

    fn distance(squared: f32, options: Options) -> f64 {
        let squared = f64::from(squared);
        match options.distance {
            Distance::Euclidean => (squared + EPSILON).sqrt(),
            Distance::Squared => squared,
        }
    }

    /// The loss of an anchor and its derivative by d_ap - d_an.
    fn cost(gap: f64, margin: Margin) -> (f64, f64) {
        match margin {
            Margin::Soft => (gap.max(0.0) + (-gap.abs()).exp().ln_1p(), 1.0 / (1.0 + (-gap).exp())),
            Margin::Hard(margin) => {
                let excess = gap + f64::from(margin);
                // Not max(0, NaN) = 0.
                if excess <= 0.0 { (0.0, 0.0) } else { (excess, 1.0) }
            }
        }
    }
}

mod cuda {
    use super::{Distance, Margin, Options};
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
        options: Options,
        outputs: &mut Outputs,
    ) -> Result<()> {
        let m = labels.shape().len();
        let partial = parts(gpu, x, Quantity::SquaredDistance)?;
        let mut rows = Tensor::empty(&Device::Cuda(gpu.clone()), [m, 4], DType::F32)?;
        let (margin, soft) = match options.margin {
            Margin::Hard(margin) => (margin, 0),
            Margin::Soft => (0.0, 1),
        };
        let of_each = kernels::TripletRows {
            partial: (&partial).into(),
            labels: labels.into(),
            margin,
            soft,
            squared: usize::from(options.distance == Distance::Squared),
            rows: (&mut rows).into(),
            weights: outputs.weights.as_mut().map(Into::into),
            splits: partial.shape().dims()[0],
            m,
        };
        gpu.launch(warp_an_image(m), of_each)?;
        let terms = kernels::TripletTerms {
            rows: (&rows).into(),
            terms: (&mut outputs.terms).into(),
            loss: (&mut outputs.loss).into(),
            scales: (&mut outputs.scales).into(),
            m,
        };
        gpu.launch(Grid::blocks(1), terms)
    }
}
