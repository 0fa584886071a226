pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::metric::{Batch, MIXED, Outcome, SHAPES, assert_within, identities, largest};
use crate::on;
use bcreid::Result;
use bcreid::autograd::{Tape, Var};
use bcreid::device::Device;
use bcreid::ops::circle::{Circle, Options, Scope, Term, circle};
use bcreid::tensor::Tensor;

const SCOPES: [Scope; 2] = [Scope::Anchor, Scope::Batch];

fn options(scope: Scope) -> Options {
    Options { margin: 0.25, gamma: 32.0, scope }
}

fn apply(options: Options) -> impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> {
    move |tape, x, labels| circle(tape, x, labels, options).map(|Circle { loss, terms }| (loss, terms))
}

fn run(device: &Device, batch: &Batch, options: Options) -> Outcome {
    batch.run(device, 1.0, None, apply(options))
}

/// Unit vectors around (1, ..., 1).
fn around(seed: u64, labels: &[i32], d: usize, spread: f32) -> Batch {
    let x: Vec<f32> = noise(seed, labels.len() * d).iter().map(|v| 1.0 + spread * v).collect();
    Batch::new(&x, labels).normalised()
}

/// The logit of a pair with the similarity `s`, and alpha from the similarity `constant`.
fn logit(same: bool, s: f64, constant: f64, options: Options) -> f64 {
    let (margin, gamma) = (f64::from(options.margin), f64::from(options.gamma));
    match same {
        true => -gamma * (1.0 + margin - constant).max(0.0) * (s - (1.0 - margin)),
        false => gamma * (constant + margin).max(0.0) * (s - margin),
    }
}

/// log sum exp over the pairs of one kind; none without a pair.
fn log_sum_exp(logits: impl Iterator<Item = f64>) -> Option<f64> {
    let logits: Vec<f64> = logits.collect();
    let max = logits.iter().copied().reduce(f64::max)?;
    Some(max + logits.iter().map(|z| (z - max).exp()).sum::<f64>().ln())
}

/// The loss of the definition at the features `x`, with alpha of the features `constant`.
fn loss(batch: &Batch, x: &[f64], constant: &[f64], options: Options) -> f64 {
    let m = batch.m();
    let cost = |pairs: &[(usize, usize)]| {
        let of_kind = |same: bool| {
            let kind = pairs.iter().filter(move |(i, j)| (batch.labels[*i] == batch.labels[*j]) == same);
            log_sum_exp(kind.map(move |&(i, j)| {
                logit(same, batch.product(x, i, j), batch.product(constant, i, j), options)
            }))
        };
        let z = of_kind(true)? + of_kind(false)?;
        Some(z.max(0.0) + (-z.abs()).exp().ln_1p())
    };
    match options.scope {
        Scope::Anchor => {
            let pairs = |i: usize| (0..m).filter(|&j| j != i).map(|j| (i, j)).collect::<Vec<_>>();
            let costs: Vec<f64> = (0..m).filter_map(|i| cost(&pairs(i))).collect();
            costs.iter().sum::<f64>() / costs.len().max(1) as f64
        }
        Scope::Batch => {
            let pairs: Vec<_> = (0..m).flat_map(|i| (i + 1..m).map(move |j| (i, j))).collect();
            cost(&pairs).unwrap_or(0.0) / m as f64
        }
    }
}

/// The factor on a tolerance: a similarity in f32 is about 1e-7 off, a logit gamma times as much.
fn scale(options: Options) -> f32 {
    (options.gamma / 32.0).max(1.0)
}

#[track_caller]
fn check(device: &Device, batch: &Batch, options: Options) {
    let (x, outcome) = (batch.x64(), run(device, batch, options));
    let want = loss(batch, &x, &x, options) as f32;
    assert_close("loss", &[outcome.loss], &[want], 1e-5 * scale(options));
    let numeric = batch.numeric_gradient(1e-6, |moved| loss(batch, moved, &x, options));
    assert_within(
        &format!("dx, {options:?}"),
        &outcome.dx,
        &numeric,
        3e-5 * scale(options) * largest(&numeric),
    );
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("circle");
        for name in ["wide", "middle", "tight"] {
            let batch = Batch::new(&golden[&format!("{name}.x")].values, &golden["labels"].i32());
            for (scope, key) in SCOPES.into_iter().zip(["anchor", "batch"]) {
                for (margin, gamma) in [(0.25, 32.0), (0.4, 80.0)] {
                    let get = |what: &str| &golden[&format!("{name}.{key}.{gamma}.{what}")].values;
                    let options = Options { margin, gamma, scope };
                    let Outcome { loss, terms, dx } = batch.run(device, 1.75, None, apply(options));
                    let what = format!("{name}, {options:?}");
                    assert_close(&what, &[loss], get("loss"), 1e-5);
                    assert_close(&what, &terms, get("terms"), 1e-6);
                    assert_within(&what, &dx, get("dx"), 2e-5 * scale(options) * largest(get("dx")));
                }
            }
        }
    });
}

/// Similarities near 1, spread, and of all signs; a large gamma, where one pair dominates, and a small one. Features
/// that are not normalised follow the same formulas.
#[test]
fn the_gradient_is_that_of_the_definition_with_constant_weights() {
    on::each(|device| {
        for (d, spread) in [(5, 0.05), (16, 0.7), (21, 10.0)] {
            for (scope, gamma) in SCOPES.into_iter().flat_map(|s| [(s, 1.0), (s, 32.0), (s, 256.0)]) {
                check(device, &around(3, &MIXED, d, spread), Options { margin: 0.25, gamma, scope });
            }
        }
        for scope in SCOPES {
            let batch = Batch::new(&noise(2, 60), &MIXED);
            check(device, &batch, Options { margin: 0.4, gamma: 4.0, scope });
        }
    });
}

#[test]
fn the_gradient_scales_with_dy_and_adds_to_an_earlier_one() {
    on::each(|device| {
        let batch = around(1, &MIXED, 6, 0.7);
        for options in SCOPES.map(options) {
            batch.check_gradient_is_added(device, apply(options));
        }
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, each, d) in SHAPES {
            for (spread, options) in
                [0.05, 0.7, 10.0].into_iter().flat_map(|s| SCOPES.map(|o| (s, options(o))))
            {
                let what = format!("spread {spread}, {options:?}");
                let batch = around(1, &identities(m, each), d, spread);
                batch.check_device(device, &what, [1e-5, 2e-6, 5e-5], apply(options));
            }
        }
    });
}

/// The positive pair has the similarity 1, the two negative pairs -1: every number by hand.
#[test]
fn a_batch_by_hand() {
    on::each(|device| {
        let batch = Batch::new(&[1.0, 1.0, -1.0], &[7, 7, -9]);
        // alpha is 0.25 for the positive and 0 for the negatives: logits -0.25 * 0.25 * 4 = -0.25 and 0.
        let by_hand = |scope| run(device, &batch, Options { margin: 0.25, gamma: 4.0, scope });
        let outcome = by_hand(Scope::Anchor);
        let softplus = |z: f32| z.exp().ln_1p();
        assert_close("loss", &[outcome.loss], &[softplus(-0.25)], 1e-6);
        assert_eq!(outcome.terms, [2.0, 1.0, -1.0]);
        // Two anchors, each with dL/ds = -sigmoid(-0.25) for the one pair.
        let slope = 1.0 / (1.0 + 0.25f32.exp());
        assert_close("dx", &outcome.dx, &[-slope, -slope, 0.0], 1e-6);
        let outcome = by_hand(Scope::Batch);
        // Two negative pairs: LSE(n) = log 2.
        let z = 2f32.ln() - 0.25;
        let slope = 1.0 / (1.0 + (-z).exp()) / 3.0;
        assert_close("loss", &[outcome.loss], &[softplus(z) / 3.0], 1e-6);
        assert_close("dx", &outcome.dx, &[-slope, -slope, 0.0], 1e-6);
    });
}

#[test]
fn without_positives_or_negatives_the_loss_is_zero() {
    on::each(|device| {
        for options in SCOPES.map(options) {
            for labels in [vec![4; 5], vec![0, 1, 2, 3, 4], vec![3]] {
                let batch = around(2, &labels, 7, 0.7);
                let outcome = run(device, &batch, options);
                assert_eq!((outcome.loss, outcome.terms[Term::Anchors as usize]), (0.0, 0.0), "{labels:?}");
                let lonely = labels.len() == 1;
                let [positive, negative] =
                    [Term::Positive, Term::Negative].map(|t| outcome.terms[t as usize]);
                assert_eq!(positive.is_nan(), lonely || labels[0] != labels[1], "{labels:?}");
                assert_eq!(negative.is_nan(), lonely || labels[0] == labels[1], "{labels:?}");
                assert_eq!(outcome.dx, vec![0.0; batch.x.len()], "{labels:?}");
            }
            check(device, &around(2, &[0, 0, 1], 7, 0.7), options);
        }
    });
}

/// Logits of thousands: exp of them overflows in f32 and in f64.
#[test]
fn huge_logits_stay_finite() {
    on::each(|device| {
        for scope in SCOPES {
            let batch = around(2, &MIXED, 7, 0.3);
            let Outcome { loss, dx, .. } = run(device, &batch, Options { margin: 0.25, gamma: 1e4, scope });
            assert!(loss.is_finite() && loss > 100.0, "{loss}");
            assert!(dx.iter().all(|v| v.is_finite()) && largest(&dx) > 1.0, "{dx:?}");
        }
    });
}

#[test]
fn the_loss_is_the_same_in_inference() {
    on::each(|device| {
        let batch = around(6, &MIXED, 9, 0.7);
        for options in SCOPES.map(options) {
            assert_eq!(batch.inference(device, apply(options)), run(device, &batch, options).loss);
        }
    });
}

#[test]
fn a_nan_shows_in_the_loss() {
    on::each(|device| {
        for (options, at) in SCOPES.into_iter().flat_map(|s| [0, 13, 59].map(|at| (options(s), at))) {
            let mut batch = around(1, &MIXED, 6, 0.7);
            batch.x[at] = f32::NAN;
            let loss = run(device, &batch, options).loss;
            assert!(loss.is_nan(), "NaN in element {at}, {options:?}: {loss}");
        }
    });
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let labels: Vec<i32> = (0..37).map(|i| i * i % 11).collect();
    around(1, &labels, 70, 0.7).check_threads(apply(options(Scope::Anchor)));
}

#[test]
fn wrong_inputs_are_refused() {
    let refuse = |x: [usize; 2], labels: &[i32], margin: f32, gamma: f32, words: &[&str]| {
        Batch::check_refused(
            "circle",
            x,
            labels,
            words,
            apply(Options { margin, gamma, scope: Scope::Anchor }),
        );
    };
    refuse([2, 3], &[0], 0.25, 32.0, &["[1]", "[2]"]);
    refuse([0, 3], &[], 0.25, 32.0, &["[0, 3]"]);
    for wrong in [-1.0, f32::NAN, f32::INFINITY] {
        refuse([2, 3], &[0, 1], wrong, 32.0, &["margin"]);
        refuse([2, 3], &[0, 1], 0.25, wrong, &["gamma"]);
    }
    refuse([2, 3], &[0, 1], 0.25, 0.0, &["gamma"]);
}
