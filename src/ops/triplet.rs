//! Triplet loss of a batch: batch-hard (Hermans, Beyer and Leibe 2017, "In Defense of the Triplet Loss for Person
//! Re-Identification", equations 5 and 6), or weighted (Ye et al. 2021, "Deep Learning for Person Re-identification: A
//! Survey and Outlook", equation 8: AGW's weighted regularisation triplet).
//!
//! x_i is the feature of image i, y_i its identity, d_ij the distance of two images. For an anchor a,
//!
//! - p(a): the hardest positive, the farthest image of the same identity other than a, and d_ap its distance;
//! - n(a): the hardest negative, the nearest image of another identity, and d_an its distance;
//! - l_a = max(0, d_ap - d_an + margin), or log(1 + exp(d_ap - d_an)) with the soft margin.
//!
//! Weighted mining takes means over all positives P and all negatives N of the anchor in the place of both distances:
//!
//! - d_ap = sum over P of w_aj d_aj with the weights w_aj = exp(d_aj) / sum over P of exp(d_ak),
//! - d_an = sum over N of w_aj d_aj with the weights w_aj = exp(-d_aj) / sum over N of exp(-d_ak).
//!
//! The source has the soft margin and the Euclidean distance. Its published program differs from its equation: there the
//! anchor is one of its own positives, at a distance near 0, and 1e-6 is added to each sum of exponentials, which takes
//! the weight from negatives that are all far away. This operation computes the equation.
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
//! over the number of anchors. Weighted mining has the sums over P of w_aj (1 + d_aj - d_ap) u_aj in the place of u_ap,
//! and over N of w_aj (1 - d_aj + d_an) u_aj in that of u_an, as the weights depend on the distances too.
//!
//! Here u_ij = (x_i - x_j) / d_ij, or 2 (x_i - x_j) for squared distances. For images at the same place u is 0: 1e-12
//! under the root keeps it finite and at most of length 1, and two copies of an image are not pushed apart. A NaN or
//! infinite distance makes the loss NaN.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md) explains the loss on pairs of the paper; no
//! chapter explains this one.

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

/// The positive and the negative distance of an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mining {
    /// Hard mining: the distances to the farthest positive and to the nearest negative.
    Hard,
    /// Weighted mining: the weighted means of the distances to all positives and to all negatives. Far positives and near
    /// negatives have larger weights.
    Weighted,
}

/// The options of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The choice of positives and negatives.
    pub mining: Mining,
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
    /// The mean of d_ap, the distance from an anchor to its positives, in the unit of [`Distance`].
    Positive,
    /// The mean of d_an.
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

/// Computes the triplet loss of features `x` `[m, D]` and labels i32 `[m]`, which may be any numbers.
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
    use super::{ACTIVE, Distance, EPSILON, Margin, Mining, Options, Term};
    use crate::ops::pairs::cpu::Pairs;
    use crate::ops::pairs::{Outputs, Quantity};
    use crate::tensor::Tensor;

    /// The images of one kind around an anchor, positives or negatives, as one distance d.
    #[derive(Clone, Copy)]
    struct Mined {
        /// d_ap or d_an.
        distance: f64,
        /// The hardest image, with its distance.
        hardest: (usize, f64),
        /// The sum of exponentials of weighted mining.
        mass: f64,
        /// 1 for positives, whose far images are hard; -1 for negatives.
        sign: f64,
        mining: Mining,
    }

    impl Mined {
        /// `of` yields images with their squared distances, in ascending order of the images; `None` if there are none.
        fn new(of: impl Iterator<Item = (usize, f32)> + Clone, sign: f64, options: Options) -> Option<Self> {
            let is_harder = |a: f32, b: f32| if sign > 0.0 { a > b } else { a < b };
            let (index, squared) = of.clone().reduce(|a, b| if is_harder(b.1, a.1) { b } else { a })?;
            let hardest = (index, distance(squared, options));
            let mut mined = Mined { distance: hardest.1, hardest, mass: 1.0, sign, mining: options.mining };
            if options.mining == Mining::Weighted {
                let beyond = of.map(|(_, squared)| distance(squared, options) - hardest.1);
                let (mass, sum) = beyond.fold((0.0, 0.0), |(mass, sum), beyond| {
                    let weight = (sign * beyond).exp();
                    (mass + weight, sum + weight * beyond)
                });
                (mined.mass, mined.distance) = (mass, hardest.1 + sum / mass);
            }
            Some(mined)
        }

        /// The derivative of d by the distance of image j.
        fn slope(&self, j: usize, distance: f64) -> f64 {
            match self.mining {
                Mining::Hard => f64::from(u8::from(j == self.hardest.0)),
                Mining::Weighted => {
                    let weight = (self.sign * (distance - self.hardest.1)).exp() / self.mass;
                    weight * (1.0 + self.sign * (distance - self.distance))
                }
            }
        }
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
            let others = || (0..m).filter(move |&j| j != i).map(|j| (j, pairs.get(i, j)));
            // NaN if any distance is NaN or infinite: a comparison would ignore it.
            let poison: f32 = others().map(|(_, squared)| 0.0 * squared).sum();
            let of = |same: bool| {
                let chosen = others().filter(move |&(j, _)| (labels[i] == labels[j]) == same);
                let sign = if same { 1.0 } else { -1.0 };
                Mined::new(chosen, sign, options)
            };
            let (Some(of_positives), Some(of_negatives)) = (of(true), of(false)) else { continue };
            let positive = of_positives.distance + f64::from(poison);
            let negative = of_negatives.distance + f64::from(poison);
            let (cost, slope) = cost(positive - negative, options.margin);
            anchors += 1;
            active += u32::from(cost > ACTIVE);
            loss += cost;
            positives += positive;
            negatives += negative;
            if let Some(weights) = &mut weights {
                for (j, squared) in others() {
                    let distance = distance(squared, options);
                    let mined = if labels[i] == labels[j] { of_positives } else { of_negatives };
                    let slope = slope * mined.sign * mined.slope(j, distance);
                    // Not 0 / NaN, of an image that is not the hardest: the loss is NaN, and no weight.
                    if slope != 0.0 {
                        weights[i * m + j] = match options.distance {
                            Distance::Euclidean => slope / distance,
                            Distance::Squared => 2.0 * slope,
                        } as f32;
                    }
                }
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
    use super::{Distance, Margin, Mining, Options};
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
        let (squared, splits) =
            (usize::from(options.distance == Distance::Squared), partial.shape().dims()[0]);
        let (partial, labels, to) = ((&partial).into(), labels.into(), (&mut rows).into());
        let weights = outputs.weights.as_mut().map(Into::into);
        // Both kernels have the same arguments.
        macro_rules! rows {
            ($kernel:ident) => {
                kernels::$kernel { partial, labels, margin, soft, squared, rows: to, weights, splits, m }
            };
        }
        match options.mining {
            Mining::Hard => gpu.launch(warp_an_image(m), rows!(TripletRows))?,
            Mining::Weighted => gpu.launch(warp_an_image(m), rows!(TripletWeightedRows))?,
        }
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
