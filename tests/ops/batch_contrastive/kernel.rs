//! The kernels against the f64 reference of the parent and against the CPU's operation, whose sums are in f64 and whose
//! gradients the parent checks by finite differences.

use super::{BOTH, Case, MIXED, REDUCTIONS, identities};
use crate::gpu::{self, Gpu, Outcome, close, equal};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{Gradient, Reduction, Term};
use bcreid::ops::pairs::cuda::{TILE, splits};
use softcuda::{Launch, args};

const DY: f32 = -2.5;

/// One part of a sum in f32 has 16 terms, then 64 parts are added: 80 roundings at the very worst, which mostly cancel.
const TOLERANCE: f64 = 2e-6;

/// A batch and what must come out of it.
struct Batch {
    case: Case,
    distances: Vec<f64>,
    hardest: Vec<i32>,
    /// In the order of [`REDUCTIONS`].
    expected: [Expected; 2],
}

/// What one reduction must give.
struct Expected {
    case: Case,
    loss: f64,
    /// The CPU's loss, terms and dx in the order of [`BOTH`].
    cpu: [super::Outcome; 2],
}

/// What the forward kernels leave: loss, terms, and for the backward pass the hardest negatives.
struct Forward {
    loss: Vec<f32>,
    terms: Vec<f32>,
    hardest: Vec<i32>,
}

impl Batch {
    fn of(case: Case) -> Self {
        let (x, m, d) = (case.x64(), case.m(), case.d);
        let squared = |i: usize, j: usize| (0..d).map(|k| (x[i * d + k] - x[j * d + k]).powi(2)).sum::<f64>();
        let distances: Vec<f64> = (0..m * m).map(|pair| squared(pair / m, pair % m)).collect();
        let hardest = (0..m).map(|i| {
            let negatives = (0..m).filter(|&j| case.labels[j] != case.labels[i]);
            // min_by keeps the first of equals.
            let nearest = negatives.min_by(|&j, &k| distances[i * m + j].total_cmp(&distances[i * m + k]));
            nearest.filter(|j| distances[i * m + j] < f64::from(case.tau)).map_or(-1, |j| j as i32)
        });
        let hardest = hardest.collect();
        let expected = REDUCTIONS.map(|reduction| {
            let case = case.reduced(reduction);
            Expected {
                loss: case.loss(&x, &x),
                cpu: BOTH.map(|gradient| case.run(&Device::cpu(), gradient)),
                case,
            }
        });
        Batch { distances, hardest, expected, case }
    }

    fn check(&self, gpu: &Gpu, block: u32) -> Outcome {
        self.check_split(gpu, block, splits(self.case.m(), self.case.d))
    }

    fn check_split(&self, gpu: &Gpu, block: u32, splits: usize) -> Outcome {
        self.expected.iter().try_for_each(|expected| {
            self.check_reduced(gpu, block, splits, expected)
                .map_err(|error| format!("{:?}: {error}", expected.case.reduction).into())
        })
    }

    fn check_reduced(&self, gpu: &Gpu, block: u32, splits: usize, expected: &Expected) -> Outcome {
        let Expected { case, loss, cpu } = expected;
        let m = case.m();
        let (partial, forward) = case.forward(gpu, block, splits)?;
        let mut distances = vec![0.0; m * m];
        for part in partial.chunks(m * m) {
            distances.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        close("distances", &distances, &self.distances, TOLERANCE, 0.0)?;
        if let Some(i) = (0..m).find(|&i| forward.hardest[i] != self.hardest[i]) {
            let (ours, want) = (forward.hardest[i], self.hardest[i]);
            return Err(format!("hardest[{i}] is {ours}, expected {want}").into());
        }
        // The hinges are differences of numbers up to tau.
        let margins = case.reduction.factor(m) * f64::from(case.tau) * m as f64 / 2.0;
        close("loss", &forward.loss, &[*loss], TOLERANCE, margins)?;
        close("loss", &forward.loss, &[f64::from(cpu[0].loss)], TOLERANCE, margins)?;
        for (term, &want) in cpu[0].terms.iter().enumerate() {
            let floor = if term == Term::Hinge as usize { margins } else { 0.0 };
            close(&format!("term {term}"), &forward.terms[term..=term], &[want.into()], TOLERANCE, floor)?;
        }
        for (gradient, cpu) in BOTH.into_iter().zip(cpu) {
            let dx = case.backward(gpu, &forward.hardest, gradient, block)?;
            let what = format!("{gradient:?} dx");
            // A sum of m differences is about as wrong everywhere as where it is largest.
            let want: Vec<f64> = cpu.dx.iter().map(|&v| f64::from(DY) * f64::from(v)).collect();
            let largest = want.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            close(&what, &dx, &want, TOLERANCE, largest)?;
        }
        Ok(())
    }
}

impl Case {
    fn m(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> i32 {
        (self.centers.len() / self.d) as i32
    }

    /// The kernels' `mean`.
    fn mean(&self) -> i32 {
        i32::from(self.reduction == Reduction::Mean)
    }

    /// The partial distances `[splits, m, m]`, and what is made of them.
    fn forward(&self, gpu: &Gpu, block: u32, splits: usize) -> Outcome<(Vec<f32>, Forward)> {
        let (m, d) = (self.m(), self.d);
        let x = gpu.upload("x", &self.x)?;
        let labels = gpu.upload("labels", &self.labels)?;
        let centers = gpu.upload("centers", &self.centers)?;
        let partial = gpu.unwritten::<f32>("partial", splits * m * m)?;
        let rows = gpu.unwritten::<f32>("rows", Term::COUNT * m)?;
        let hardest = gpu.unwritten::<i32>("hardest", m)?;
        let terms = gpu.unwritten::<f32>("terms", Term::COUNT)?;
        let loss = gpu.unwritten::<f32>("loss", 1)?;
        let across = m.div_ceil(TILE) as u32;
        let tiles = Launch::new((across / 2 + 1, across, splits as u32), 256);
        gpu.launch("batch_contrastive_distances", tiles, args![&x, &partial, m as i32, d as i32])?;
        let warps = Launch::new((m as u32).div_ceil(block / 32), block);
        let sizes = [splits as i32, m as i32, d as i32, self.classes()];
        gpu.launch(
            "batch_contrastive_rows",
            warps,
            args![
                &partial, &x, &labels, &centers, self.tau, &rows, &hardest, sizes[0], sizes[1], sizes[2],
                sizes[3]
            ],
        )?;
        let terms_args = args![&rows, &terms, &loss, self.mean(), m as i32];
        gpu.launch("batch_contrastive_terms", Launch::new(1, block), terms_args)?;
        let forward =
            Forward { loss: gpu.read(&loss)?, terms: gpu.read(&terms)?, hardest: gpu.read(&hardest)? };
        Ok((gpu.read(&partial)?, forward))
    }

    /// dx, written once, and checked to be doubled when it is then added to itself.
    fn backward(&self, gpu: &Gpu, hardest: &[i32], gradient: Gradient, block: u32) -> Outcome<Vec<f32>> {
        let (m, d) = (self.m(), self.d);
        let x = gpu.upload("x", &self.x)?;
        let labels = gpu.upload("labels", &self.labels)?;
        let centers = gpu.upload("centers", &self.centers)?;
        let hardest = gpu.upload("hardest", hardest)?;
        let dy = gpu.upload("dy", &[DY])?;
        let dx = gpu.unwritten::<f32>("dx", m * d)?;
        // Three slices of a wide row, each with several rounds.
        let slices = (d as u32).div_ceil(block).min(3);
        let exact = i32::from(gradient == Gradient::Exact);
        let launch = |accumulate: i32| {
            gpu.launch(
                "batch_contrastive_backward",
                Launch::new((m as u32, slices), block),
                args![
                    &x,
                    &labels,
                    &centers,
                    &hardest,
                    &dy,
                    &dx,
                    exact,
                    self.mean(),
                    accumulate,
                    m as i32,
                    d as i32,
                    self.classes()
                ],
            )
        };
        launch(0)?;
        let written = gpu.read(&dx)?;
        launch(1)?;
        let doubled: Vec<f32> = written.iter().map(|v| 2.0 * v).collect();
        equal("dx added to itself", &gpu.read(&dx)?, &doubled)?;
        Ok(written)
    }
}

/// Batches of one tile of pairs and of several, an odd and an even number of them, each with an active hinge for all,
/// for some and for none.
pub fn small_batches(gpu: &Gpu) -> Outcome {
    for (labels, d, block) in [
        (MIXED.to_vec(), 5, 32),
        (MIXED.to_vec(), 16, 64),
        (MIXED.to_vec(), 1, 1024),
        (identities(20, 3), 3, 96),
        (identities(16, 4), 64, 128),
        (identities(33, 4), 65, 256),
        (identities(49, 2), 68, 64),
    ] {
        for (spread, tau) in [(0.8, 0.5), (0.01, 1.0), (2.0, 1e-3)] {
            Batch::of(Case::noise(&labels, d, spread, tau)).check(gpu, block).map_err(|error| {
                format!("{} images of {d} features, spread {spread}, tau {tau}: {error}", labels.len())
            })?;
        }
    }
    Ok(())
}

#[test]
fn batches_of_several_tiles() {
    gpu::run("batch_contrastive", small_batches);
}

#[test]
fn wide_features() {
    let cases = [(16, 4, 2048, 128), (5, 2, 4095, 96), (18, 2, 4096, 256)];
    let batches =
        cases.map(|(m, each, d, block)| (Batch::of(Case::noise(&identities(m, each), d, 0.8, 0.4)), block));
    gpu::run("batch_contrastive", |gpu| {
        batches.iter().try_for_each(|(batch, block)| batch.check(gpu, *block))
    });
}

#[test]
fn a_batch_of_1024() {
    let batch = Batch::of(Case::noise(&identities(1024, 4), 3, 0.8, 0.01));
    gpu::run("batch_contrastive", |gpu| batch.check(gpu, 32));
}

/// Every number of parts gives the distances: one, some of unequal length, all, and more than there is to share out.
#[test]
fn any_number_of_splits() {
    let batch = Batch::of(Case::noise(&identities(18, 3), 300, 0.8, 0.5));
    gpu::run("batch_contrastive", |gpu| {
        [1, 2, 3, 5, 8].into_iter().try_for_each(|splits| batch.check_split(gpu, 64, splits))
    });
}

/// Numbers that f32 sums exactly, so that two distances are equal or equal to tau to the last bit.
#[test]
fn ties_and_margins() {
    let case = |x: &[f32], labels: &[i32], d: usize, tau: f32| {
        let centers = vec![0.25; d * (1 + *labels.iter().max().unwrap() as usize)];
        Batch::of(Case { x: x.to_vec(), labels: labels.to_vec(), centers, d, tau, reduction: Reduction::Sum })
    };
    // 100 images in the corners of a square: the nearest of another identity is one of many, in its own lane and
    // others.
    let corners: Vec<f32> = (0..200).map(|i| if (i * i / 3) % 2 == 0 { 0.0 } else { 0.5 }).collect();
    let fifths: Vec<i32> = (0..100).map(|i| i % 5).collect();
    let batches = [
        // Images 1 and 2 are equally far from image 0; image 2 between images 0 and 1.
        case(&[0.0, 0.0, 0.5, 0.0, 0.0, 0.5], &[0, 1, 1], 2, 1.0),
        case(&[0.5, 0.0, 0.0, 0.5, 0.0, 0.0], &[1, 1, 0], 2, 1.0),
        case(&corners, &fifths, 2, 0.3),
        // At tau, just above it, and tau 0.
        case(&[0.0, 0.5], &[0, 1], 1, 0.25),
        case(&[0.0, 0.5], &[0, 1], 1, 0.250_001),
        case(&corners, &fifths, 2, 0.0),
        // Zero vectors and equal ones.
        case(&[0.0; 8], &[0, 0, 1, 1], 2, 1.0),
        case(&[0.5; 16], &[0, 0, 1, 1], 4, 1.0),
    ];
    let in_one_lane = |i: usize| {
        let (first, row) = (batches[2].hardest[i] as usize, &batches[2].distances[100 * i..]);
        (first + 32..100).step_by(32).any(|j| row[j] == row[first] && fifths[j] != fifths[i])
    };
    assert!((0..100).any(in_one_lane), "ties in one lane are what is meant");
    assert_eq!((batches[3].hardest[0], batches[4].hardest[0]), (-1, 1));
    gpu::run("batch_contrastive", |gpu| batches.iter().try_for_each(|batch| batch.check(gpu, 64)));
}
