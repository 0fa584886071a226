pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::metric::{Batch, MIXED, Outcome, SHAPES, assert_within, identities, largest};
use crate::on;
use bcreid::Result;
use bcreid::autograd::{Tape, Var};
use bcreid::device::Device;
use bcreid::ops::contrastive::{Contrastive, Margins, contrastive};
use bcreid::tensor::Tensor;

const OTHER: Margins = Margins { positive: 0.5, negative: 1.25 };

fn margins() -> [Margins; 2] {
    [Margins::default(), OTHER]
}

fn apply(margins: Margins) -> impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> {
    move |tape, x, labels| {
        contrastive(tape, x, labels, margins).map(|Contrastive { loss, terms }| (loss, terms))
    }
}

fn run(device: &Device, batch: &Batch, margins: Margins) -> Outcome {
    batch.run(device, 1.0, None, apply(margins))
}

/// Unit vectors around (1, ..., 1).
fn around(seed: u64, labels: &[i32], d: usize, spread: f32) -> Batch {
    let x: Vec<f32> = noise(seed, labels.len() * d).iter().map(|v| 1.0 + spread * v).collect();
    Batch::new(&x, labels).normalised()
}

/// The terms of the definition in f64; the loss is the sum of the first two.
fn terms(batch: &Batch, x: &[f64], margins: Margins) -> [f64; 4] {
    let (mut costs, mut counts) = ([0.0; 2], [0.0f64; 2]);
    for (i, j) in (0..batch.m()).flat_map(|i| (i + 1..batch.m()).map(move |j| (i, j))) {
        let distance = batch.squared_distance(x, i, j).sqrt();
        let (kind, cost) = match batch.labels[i] == batch.labels[j] {
            true => (0, distance - f64::from(margins.positive)),
            false => (1, f64::from(margins.negative) - distance),
        };
        if cost > 0.0 {
            costs[kind] += cost;
            counts[kind] += 1.0;
        }
    }
    [costs[0] / counts[0].max(1.0), costs[1] / counts[1].max(1.0), counts[0], counts[1]]
}

fn loss(batch: &Batch, x: &[f64], margins: Margins) -> f64 {
    let [positive, negative, ..] = terms(batch, x, margins);
    positive + negative
}

const TOLERANCE: f32 = 2e-6;

#[track_caller]
fn check(device: &Device, batch: &Batch, margins: Margins) {
    let (x, outcome) = (batch.x64(), run(device, batch, margins));
    assert_close("loss", &[outcome.loss], &[loss(batch, &x, margins) as f32], TOLERANCE);
    let want = terms(batch, &x, margins).map(|term| term as f32);
    assert_close("terms", &outcome.terms, &want, TOLERANCE);
    let numeric = batch.numeric_gradient(1e-7, |x| loss(batch, x, margins));
    assert_within(&format!("dx, {margins:?}"), &outcome.dx, &numeric, 2e-5 * largest(&numeric));
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("contrastive");
        for name in ["wide", "middle", "tight"] {
            let batch = Batch::new(&golden[&format!("{name}.x")].values, &golden["labels"].i32());
            for (kind, margins) in ["default", "other"].into_iter().zip(margins()) {
                let get = |what: &str| &golden[&format!("{name}.{kind}.{what}")].values;
                let Outcome { loss, terms, dx } = batch.run(device, 1.75, None, apply(margins));
                let what = format!("{name}, {margins:?}");
                assert_close(&what, &[loss], get("loss"), TOLERANCE);
                assert_close(&what, &terms, get("terms"), TOLERANCE);
                assert_within(&what, &dx, get("dx"), 1e-5 * largest(get("dx")));
            }
        }
    });
}

/// Distances below, around and above the margins.
#[test]
fn the_gradient_is_that_of_the_definition() {
    on::each(|device| {
        for (d, spread) in [(5, 0.05), (16, 0.7), (21, 10.0)] {
            margins().into_iter().for_each(|margins| check(device, &around(3, &MIXED, d, spread), margins));
        }
        // Features that are not normalised.
        check(device, &Batch::new(&noise(2, 60), &MIXED), Margins { positive: 1.0, negative: 2.0 });
    });
}

/// The tape's checker also finds a backward that overwrites instead of adding. All pairs cost something, so that no
/// step changes a number of pairs.
#[test]
fn the_tape_s_checker_agrees() {
    on::each(|device| {
        let values: Vec<f32> = noise(8, 60).iter().map(|v| 4.0 * v.powi(3)).collect();
        let margins = Margins { positive: 0.0, negative: 20.0 };
        Check { step: 2e-3, ..Check::default() }.run(device, &[Input::new([10, 6], values)], |t, v| {
            let labels = Tensor::from_i32(&t.device(), [10], &MIXED).unwrap();
            Ok(contrastive(t, v[0].clone(), &labels, margins)?.loss)
        });
    });
}

#[test]
fn the_gradient_scales_with_dy_and_adds_to_an_earlier_one() {
    on::each(|device| {
        let batch = around(1, &MIXED, 6, 0.7);
        for margins in margins() {
            batch.check_gradient_is_added(device, apply(margins));
        }
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, each, d) in SHAPES {
            for (spread, margins) in [0.05, 0.7, 10.0].into_iter().flat_map(|s| margins().map(|o| (s, o))) {
                let what = format!("spread {spread}, {margins:?}");
                let batch = around(1, &identities(m, each), d, spread);
                batch.check_device(device, &what, [TOLERANCE, TOLERANCE, 1e-5], apply(margins));
            }
        }
    });
}

/// Images on a line: every number by hand.
#[test]
fn a_batch_by_hand() {
    on::each(|device| {
        let batch = Batch::new(&[0.0, 2.0, 2.5, 8.0], &[7, 7, -9, 1]);
        let outcome = run(device, &batch, Margins::default());
        // The positive pair costs 2; of the negative pairs only (1, 2) is nearer than 1, and costs 0.5.
        assert_eq!((outcome.loss, outcome.terms), (2.5, vec![2.0, 0.5, 1.0, 1.0]));
        assert_eq!(outcome.dx, [-1.0, 1.0 + 1.0, -1.0, 0.0]);
    });
}

/// At a margin a pair costs nothing and is not counted; copies have no direction.
#[test]
fn kinks_have_no_gradient() {
    on::each(|device| {
        let batch = Batch::new(&[0.0, 0.5, 1.75, 1.75], &[0, 0, 1, 1]);
        let outcome = run(device, &batch, OTHER);
        assert_eq!((outcome.loss, outcome.terms), (0.0, vec![0.0; 4]), "pairs at distance 0.5, 1.25 and 0");
        assert_eq!(outcome.dx, [0.0; 4]);
        // A copy of another identity costs the margin, and so it counts, but is not pushed.
        let outcome = run(device, &Batch::new(&[0.5, 0.5, 0.25], &[0, 1, 1]), Margins::default());
        assert_eq!(outcome.terms, [0.25, (1.0 + 0.75) / 2.0, 1.0, 2.0]);
        assert_eq!(outcome.dx, [-0.5, 1.0, -0.5]);
    });
}

#[test]
fn without_a_pair_of_a_kind_its_mean_is_zero() {
    on::each(|device| {
        for labels in [vec![4; 5], vec![0, 1, 2, 3, 4], vec![3]] {
            let batch = around(2, &labels, 7, 0.7);
            check(device, &batch, Margins::default());
            let terms = run(device, &batch, Margins::default()).terms;
            assert_eq!(terms[0] > 0.0, labels.len() > 1 && labels[0] == labels[1], "{labels:?}");
            assert_eq!(terms[1] > 0.0, labels.len() > 1 && labels[0] != labels[1], "{labels:?}");
        }
    });
}

#[test]
fn the_loss_is_the_same_in_inference() {
    on::each(|device| {
        let batch = around(6, &MIXED, 9, 0.7);
        for margins in margins() {
            assert_eq!(batch.inference(device, apply(margins)), run(device, &batch, margins).loss);
        }
    });
}

#[test]
fn a_nan_or_an_overflow_shows_in_the_loss() {
    on::each(|device| {
        for (wrong, at) in
            [f32::NAN, f32::INFINITY, 1e25].into_iter().flat_map(|w| [0, 13, 59].map(|at| (w, at)))
        {
            let mut batch = around(1, &MIXED, 6, 0.7);
            batch.x[at] = wrong;
            let loss = run(device, &batch, OTHER).loss;
            assert!(loss.is_nan(), "{wrong} in element {at}: {loss}");
        }
    });
}

#[test]
fn wrong_inputs_are_refused() {
    let refuse = |x: [usize; 2], labels: &[i32], margins: Margins, words: &[&str]| {
        Batch::check_refused("contrastive", x, labels, words, apply(margins));
    };
    refuse([2, 3], &[0], OTHER, &["[1]", "[2]"]);
    refuse([0, 3], &[], OTHER, &["[0, 3]"]);
    for wrong in [-1.0, f32::NAN, f32::INFINITY] {
        refuse([2, 3], &[0, 1], Margins { positive: wrong, ..OTHER }, &["positive margin"]);
        refuse([2, 3], &[0, 1], Margins { negative: wrong, ..OTHER }, &["negative margin"]);
    }
}
