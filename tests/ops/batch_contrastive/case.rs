//! One batch, its loss by equations (3) and (4) in f64, and the numeric gradients of that.

use crate::golden::assert_close;
use crate::gradient_check::noise;
use bcreid::Result;
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{
    BatchContrastive, Gradient, Reading, Reduction, Term, batch_contrastive,
};
use bcreid::tensor::{Params, StepValues, Tape, Tensor, Var};

pub const BOTH: [Gradient; 2] = [Gradient::Paper, Gradient::Exact];
pub const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];

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
        let reading = Reading { gradient, reduction: self.reduction, tau: self.tau };
        batch_contrastive(tape, x, &labels, &centers, reading)
    }

    pub fn run(&self, gradient: Gradient) -> Outcome {
        let device = Device::cpu();
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let x = tape.leaf(Tensor::from_f32(&device, [self.labels.len(), self.d], &self.x).unwrap());
        let BatchContrastive { loss, terms } = self.apply(&mut tape, x.clone(), gradient).unwrap();
        let value = loss.value.f32()[0];
        let mut grads = tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0).unwrap())]).unwrap();
        Outcome {
            loss: value,
            terms: terms.to_host_f32().unwrap(),
            dx: grads.take(&x).unwrap().to_host_f32().unwrap(),
        }
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

    #[track_caller]
    pub fn check(&self) {
        for (gradient, reduction) in BOTH.into_iter().flat_map(|g| REDUCTIONS.map(|r| (g, r))) {
            let case = self.reduced(reduction);
            let outcome = case.run(gradient);
            let x = case.x64();
            assert_close("loss", &[outcome.loss], &[case.loss(&x, &x) as f32], 1e-6);
            let what = format!("{gradient:?} gradient of the {reduction:?}");
            assert_close(&what, &outcome.dx, &case.numeric_gradient(gradient), 1e-5);
            let sum = outcome.terms[..3].iter().sum::<f32>();
            assert_close("terms", &[sum], &[outcome.loss], 1e-6);
        }
    }
}

pub const MIXED: [i32; 9] = [0, 1, 0, 2, 1, 0, 3, 5, 3];
