//! The reference is [`Case::loss`]: equations (3) and (4) in f64 with the partner samples as an argument of
//! their own. With the partners held constant its derivative is the paper's (8), with the partners moving
//! along it is the exact one; finite differences of it check each gradient against its own function.

use super::{BOTH, REDUCTIONS};
use crate::golden::assert_close;
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{
    BatchContrastive, Gradient, Options, Reduction, Term, batch_contrastive,
};
use bcreid::tensor::Tensor;

/// One batch.
#[derive(Clone)]
pub struct Case {
    pub x: Vec<f32>,
    pub labels: Vec<i32>,
    pub centers: Vec<f32>,
    pub d: usize,
    pub tau: f32,
    pub reduction: Reduction,
}

/// What the operation makes of it.
pub struct Outcome {
    pub loss: f32,
    pub terms: Vec<f32>,
    pub dx: Vec<f32>,
}

impl Outcome {
    pub fn term(&self, term: Term) -> f32 {
        self.terms[term as usize]
    }
}

impl Case {
    /// Noise of a given spread around (1, ..., 1) / sqrt(d), with centers of noise.
    pub fn noise(labels: &[i32], d: usize, spread: f32, tau: f32) -> Self {
        Self::seeded(1, labels, d, spread, tau)
    }

    pub fn seeded(seed: u64, labels: &[i32], d: usize, spread: f32, tau: f32) -> Self {
        let classes = labels.iter().max().map_or(1, |&y| y as usize + 1);
        let base = 1.0 / (d as f32).sqrt();
        let x = noise(seed, labels.len() * d).iter().map(|v| base + spread * base * v).collect();
        let centers = noise(seed + 1000, classes * d).iter().map(|v| 0.3 * v).collect();
        Case { x, labels: labels.to_vec(), centers, d, tau, reduction: Reduction::Sum }
    }

    /// The tensors of the case, and the operation on `x`.
    pub fn apply(&self, tape: &mut Tape<'_>, x: Var, gradient: Gradient) -> Result<BatchContrastive> {
        let device = tape.device();
        let labels = Tensor::from_i32(&device, [self.labels.len()], &self.labels).unwrap();
        let centers =
            Tensor::from_f32(&device, [self.centers.len() / self.d, self.d], &self.centers).unwrap();
        let options = Options { gradient, reduction: self.reduction, tau: self.tau };
        batch_contrastive(tape, x, &labels, &centers, options)
    }

    pub fn run(&self, device: &Device, gradient: Gradient) -> Outcome {
        self.run_after(device, gradient, 1.0, None)
    }

    /// The gradient of `dy` times the loss, added to `earlier` if there is any.
    pub fn run_after(
        &self,
        device: &Device,
        gradient: Gradient,
        dy: f32,
        earlier: Option<&[f32]>,
    ) -> Outcome {
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = tape.leaf(Tensor::from_f32(device, [self.labels.len(), self.d], &self.x).unwrap());
        let BatchContrastive { loss, terms } = self.apply(&mut tape, x.clone(), gradient).unwrap();
        let value = host(&loss.value)[0];
        let mut seeds = vec![(loss, Tensor::full(device, [1], dy).unwrap())];
        seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
        let mut grads = tape.backward(seeds).unwrap();
        Outcome { loss: value, terms: host(&terms), dx: host(&grads.take(&x).unwrap()) }
    }

    pub fn x64(&self) -> Vec<f64> {
        self.x.iter().map(|&v| f64::from(v)).collect()
    }

    /// How far the squared distances are from a kink of the loss: from another hardest negative, and of the
    /// hardest one from tau.
    pub fn margin(&self) -> f64 {
        let (m, d, x) = (self.labels.len(), self.d, self.x64());
        let distance =
            |i: usize, j: usize| (0..d).map(|k| (x[i * d + k] - x[j * d + k]).powi(2)).sum::<f64>();
        (0..m)
            .map(|i| {
                let mut negatives: Vec<f64> =
                    (0..m).filter(|&j| self.labels[j] != self.labels[i]).map(|j| distance(i, j)).collect();
                negatives.sort_unstable_by(f64::total_cmp);
                (negatives[1] - negatives[0]).min((negatives[0] - f64::from(self.tau)).abs())
            })
            .fold(f64::INFINITY, f64::min)
    }

    /// The same case, reduced otherwise.
    pub fn reduced(&self, reduction: Reduction) -> Self {
        Case { reduction, ..self.clone() }
    }

    /// L_b + L_c of the samples `x` among `partners`.
    pub fn loss(&self, x: &[f64], partners: &[f64]) -> f64 {
        let m = self.labels.len();
        let of_all: f64 = self.loss_of_images(x, partners).sum();
        match self.reduction {
            Reduction::Sum => of_all,
            Reduction::Mean => of_all / m as f64,
        }
    }

    /// What each image adds to the sums.
    pub fn loss_of_images<'a>(&'a self, x: &'a [f64], partners: &'a [f64]) -> impl Iterator<Item = f64> {
        let (m, d) = (self.labels.len(), self.d);
        let squared = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        (0..m).map(move |i| {
            let x = &x[i * d..][..d];
            let distance = |j: usize| squared(x, &partners[j * d..][..d]);
            let same = |j: &usize| self.labels[*j] == self.labels[i];
            let positive: f64 = (0..m).filter(same).map(distance).sum();
            let nearest = (0..m).filter(|j| !same(j)).map(distance).fold(f64::INFINITY, f64::min);
            let hinge = (f64::from(self.tau) - nearest).max(0.0);
            let center: Vec<f64> =
                self.centers[self.labels[i] as usize * d..][..d].iter().map(|&c| f64::from(c)).collect();
            0.5 * (positive + hinge + squared(x, &center))
        })
    }

    /// Central differences of [`Case::loss`]: exact up to rounding, because it is quadratic between kinks.
    pub fn numeric_gradient(&self, gradient: Gradient) -> Vec<f32> {
        let x = self.x64();
        let at = |k: usize, delta: f64| {
            let mut moved = x.clone();
            moved[k] += delta;
            match gradient {
                Gradient::Paper => self.loss(&moved, &x),
                Gradient::Exact => self.loss(&moved, &moved),
            }
        };
        (0..x.len()).map(|k| ((at(k, 1e-5) - at(k, -1e-5)) / 2e-5) as f32).collect()
    }

    /// Against the definition in f64 and its finite differences.
    #[track_caller]
    pub fn check(&self, device: &Device) {
        for (gradient, reduction) in BOTH.into_iter().flat_map(|g| REDUCTIONS.map(|r| (g, r))) {
            let case = self.reduced(reduction);
            let outcome = case.run(device, gradient);
            let x = case.x64();
            assert_close("loss", &[outcome.loss], &[case.loss(&x, &x) as f32], tolerance(device));
            let what = format!("{gradient:?} gradient of the {reduction:?}");
            assert_close(&what, &outcome.dx, &case.numeric_gradient(gradient), 1e-5);
            let sum = outcome.terms[..3].iter().sum::<f32>();
            assert_close("terms", &[sum], &[outcome.loss], 1e-6);
        }
    }
}

/// Of a loss. The CPU sums in f64. A GPU's part of a sum in f32 has up to 64 terms, then up to 64 parts are added: 80
/// roundings of 6e-8, which mostly cancel.
pub fn tolerance(device: &Device) -> f32 {
    if on::is_cuda(device) { 2e-6 } else { 1e-6 }
}
