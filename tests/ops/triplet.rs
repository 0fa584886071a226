pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::metric::{Batch, MIXED, Outcome, SHAPES, assert_within, identities, largest};
use crate::on;
use bcreid::Result;
use bcreid::autograd::{Tape, Var};
use bcreid::device::Device;
use bcreid::ops::triplet::{Distance, Margin, Mining, Options, Term, Triplet, triplet};
use bcreid::tensor::Tensor;

const OPTIONS: [Options; 7] = [
    Options { mining: Mining::Hard, margin: Margin::Hard(0.3), distance: Distance::Euclidean },
    Options { mining: Mining::Hard, margin: Margin::Soft, distance: Distance::Euclidean },
    Options { mining: Mining::Hard, margin: Margin::Hard(0.3), distance: Distance::Squared },
    Options { mining: Mining::Hard, margin: Margin::Soft, distance: Distance::Squared },
    Options { mining: Mining::Weighted, margin: Margin::Hard(0.3), distance: Distance::Euclidean },
    Options { mining: Mining::Weighted, margin: Margin::Soft, distance: Distance::Euclidean },
    Options { mining: Mining::Weighted, margin: Margin::Hard(0.3), distance: Distance::Squared },
];
/// Their names in the golden values.
const KINDS: [&str; 7] =
    ["hard", "soft", "squared", "soft_squared", "weighted", "weighted_soft", "weighted_squared"];

fn apply(options: Options) -> impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> {
    move |tape, x, labels| triplet(tape, x, labels, options).map(|Triplet { loss, terms }| (loss, terms))
}

fn run(device: &Device, batch: &Batch, options: Options) -> Outcome {
    batch.run(device, 1.0, None, apply(options))
}

/// Features around (1, ..., 1) / sqrt(d).
fn around(seed: u64, labels: &[i32], d: usize, spread: f32) -> Batch {
    let base = 1.0 / (d as f32).sqrt();
    let x: Vec<f32> = noise(seed, labels.len() * d).iter().map(|v| base + spread * base * v).collect();
    Batch::new(&x, labels)
}

/// An anchor of the definition: its distances to positives and negatives.
struct Anchor {
    positive: f64,
    negative: f64,
}

/// The anchors of the definition, in f64.
fn anchors(batch: &Batch, x: &[f64], options: Options) -> Vec<Anchor> {
    let labels = &batch.labels;
    let distance = |i: usize, j: usize| match options.distance {
        Distance::Euclidean => (batch.squared_distance(x, i, j) + 1e-12).sqrt(),
        Distance::Squared => batch.squared_distance(x, i, j),
    };
    (0..batch.m())
        .filter_map(|i| {
            let others = |same: bool| {
                let chosen = (0..batch.m()).filter(|&j| j != i && (labels[j] == labels[i]) == same);
                chosen.map(|j| distance(i, j)).collect::<Vec<f64>>()
            };
            let (positives, negatives) = (others(true), others(false));
            let extreme = |of: &[f64], choose: fn(f64, f64) -> f64| of.iter().copied().reduce(choose);
            let (farthest, nearest) = (extreme(&positives, f64::max)?, extreme(&negatives, f64::min)?);
            let mean = |of: &[f64], weight: &dyn Fn(f64) -> f64| {
                let mass: f64 = of.iter().map(|d| weight(*d)).sum();
                of.iter().map(|d| weight(*d) * d).sum::<f64>() / mass
            };
            Some(match options.mining {
                Mining::Hard => Anchor { positive: farthest, negative: nearest },
                Mining::Weighted => Anchor {
                    positive: mean(&positives, &|d| (d - farthest).exp()),
                    negative: mean(&negatives, &|d| (nearest - d).exp()),
                },
            })
        })
        .collect()
}

fn cost(anchor: &Anchor, margin: Margin) -> f64 {
    let gap = anchor.positive - anchor.negative;
    match margin {
        Margin::Hard(margin) => (gap + f64::from(margin)).max(0.0),
        Margin::Soft => gap.exp().ln_1p(),
    }
}

/// The mean over the anchors.
fn loss(batch: &Batch, x: &[f64], options: Options) -> f64 {
    let anchors = anchors(batch, x, options);
    let sum: f64 = anchors.iter().map(|anchor| cost(anchor, options.margin)).sum();
    if anchors.is_empty() { 0.0 } else { sum / anchors.len() as f64 }
}

/// Distances in f32 have a relative error of about 1e-7; the loss is a difference of them.
const TOLERANCE: f32 = 3e-6;

/// A batch against the definition and its finite differences.
#[track_caller]
fn check(device: &Device, batch: &Batch, options: Options) {
    let outcome = run(device, batch, options);
    let x = batch.x64();
    let want = loss(batch, &x, options) as f32;
    assert_close("loss", &[outcome.loss], &[want], TOLERANCE);
    let numeric = batch.numeric_gradient(1e-6, |x| loss(batch, x, options));
    assert_within(&format!("dx, {options:?}"), &outcome.dx, &numeric, 2e-5 * largest(&numeric));
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("triplet");
        for name in ["wide", "tight"] {
            let batch = Batch::new(&golden[&format!("{name}.x")].values, &golden["labels"].i32());
            for (kind, options) in KINDS.into_iter().zip(OPTIONS) {
                let get = |what: &str| &golden[&format!("{name}.{kind}.{what}")].values;
                let Outcome { loss, terms, dx } = batch.run(device, 1.75, None, apply(options));
                let what = format!("{name}, {kind}");
                assert_close(&what, &[loss], get("loss"), TOLERANCE);
                assert_close(&what, &terms, get("terms"), TOLERANCE);
                assert_within(&what, &dx, get("dx"), 1e-5 * largest(get("dx")));
            }
        }
    });
}

/// All hinges active, some, none; mixed numbers of images of an identity.
#[test]
fn the_gradient_is_that_of_the_definition() {
    on::each(|device| {
        for (d, spread) in [(5, 0.8), (16, 0.3), (21, 0.05), (37, 3.0)] {
            for options in OPTIONS {
                check(device, &around(3, &MIXED, d, spread), options);
            }
        }
    });
}

/// The tape's checker also finds a backward that overwrites instead of adding. Features far from (1, 1, ...) and from
/// each other, which makes softplus both flat and steep.
#[test]
fn the_tape_s_checker_agrees() {
    on::each(|device| {
        let values: Vec<f32> = noise(8, 60).iter().map(|v| 4.0 * v.powi(3)).collect();
        for options in OPTIONS {
            Check { step: 2e-3, ..Check::default() }.run(
                device,
                &[Input::new([10, 6], values.clone())],
                |t, v| {
                    let labels = Tensor::from_i32(&t.device(), [10], &MIXED).unwrap();
                    Ok(triplet(t, v[0].clone(), &labels, options)?.loss)
                },
            );
        }
    });
}

#[test]
fn the_gradient_scales_with_dy_and_adds_to_an_earlier_one() {
    on::each(|device| {
        let batch = around(1, &MIXED, 6, 0.5);
        for options in OPTIONS {
            batch.check_gradient_is_added(device, apply(options));
        }
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, each, d) in SHAPES {
            for (spread, options) in [0.8, 0.05, 2.0].into_iter().flat_map(|s| OPTIONS.map(|o| (s, o))) {
                let what = format!("spread {spread}, {options:?}");
                let batch = around(1, &identities(m, each), d, spread);
                batch.check_device(device, &what, [TOLERANCE, TOLERANCE, 1e-5], apply(options));
            }
        }
    });
}

/// Every number by hand, on a line: images 0 and 1 are of one identity, 2 of another, and no anchor.
#[test]
fn a_batch_by_hand() {
    on::each(|device| {
        let batch = Batch::new(&[0.0, 2.0, 3.0], &[7, 7, -9]);
        let margin = Margin::Hard(0.5);
        let outcome =
            run(device, &batch, Options { mining: Mining::Hard, margin, distance: Distance::Euclidean });
        // Anchor 0: 2 - 3 + 0.5 < 0. Anchor 1: 2 - 1 + 0.5. Over two anchors.
        assert_eq!(outcome.loss, 0.75);
        assert_eq!(outcome.terms, [2.0, 0.5, 2.0, 2.0]);
        // x_1 moves away from x_0 by 1 and towards x_2 by 1.
        assert_eq!(outcome.dx, [-0.5, 1.0, -0.5]);
        let outcome =
            run(device, &batch, Options { mining: Mining::Hard, margin, distance: Distance::Squared });
        // Anchor 1: 4 - 1 + 0.5.
        assert_eq!((outcome.loss, outcome.terms), (1.75, vec![2.0, 0.5, 4.0, 5.0]));
        assert_eq!(outcome.dx, [-2.0, 3.0, -1.0]);
    });
}

/// Every number by hand, on a line: weighted means of two positives and of two negatives of the anchor at 0.
#[test]
fn a_weighted_anchor_by_hand() {
    on::each(|device| {
        // Identity 1: 0, 1 and 2. Identity 2: 3. Identity 3: 3 + ln 2.
        let far = 3.0 + 2f32.ln();
        let batch = Batch::new(&[0.0, 1.0, 2.0, 3.0, far], &[1, 1, 1, 2, 3]);
        let options =
            Options { mining: Mining::Weighted, margin: Margin::Hard(9.0), distance: Distance::Euclidean };
        let outcome = run(device, &batch, options);
        let e = 1f64.exp();
        let ln2 = f64::from(2f32.ln());
        // Of the anchors at 0 and 2 the positives are at 1 and 2 with the weights 1 and e; of that at 1 both are at 1.
        let positives = [(1.0 + 2.0 * e) / (1.0 + e), 1.0, (1.0 + 2.0 * e) / (1.0 + e)];
        // The negatives of each are at a and a + ln 2: the farther one has half the weight of the nearer.
        let negatives = [3.0, 2.0, 1.0].map(|near| near + ln2 / 3.0);
        let mean = |of: [f64; 3]| (of.iter().sum::<f64>() / 3.0) as f32;
        assert_close("terms", &outcome.terms, &[3.0, 1.0, mean(positives), mean(negatives)], 1e-6);
        assert_close("loss", &[outcome.loss], &[mean(positives) - mean(negatives) + 9.0], 1e-6);
        // Only negatives move x_4: weights 1/3 times 1 - d + d_an = 1 - 2 ln 2 / 3, from three anchors, over three.
        let pushed = -(1.0 / 3.0) * (1.0 - 2.0 * ln2 / 3.0);
        assert_close("dx", &outcome.dx[4..], &[pushed as f32], 1e-5);
    });
}

/// With far distances only the hardest images have a weight: the loss is the batch-hard one.
#[test]
fn weighted_mining_of_far_images_is_hard() {
    on::each(|device| {
        let batch = around(3, &MIXED, 9, 300.0);
        let of = |mining| Options { mining, margin: Margin::Hard(0.3), distance: Distance::Squared };
        let [hard, weighted] = [Mining::Hard, Mining::Weighted].map(|mining| run(device, &batch, of(mining)));
        assert_close("loss", &[weighted.loss], &[hard.loss], 1e-5);
        assert_within("dx", &weighted.dx, &hard.dx, 1e-5 * largest(&hard.dx));
    });
}

#[test]
fn ties_go_to_the_lowest_index() {
    on::each(|device| {
        // Around image 0 at the origin: positives 1 and 2, negatives 3 and 4, two and two at the same distance.
        let x = [0.0, 0.0, 2.0, 0.0, 0.0, 2.0, -1.0, 0.0, 0.0, -1.0];
        let batch = Batch::new(&x, &[0, 0, 0, 1, 2]);
        let options =
            Options { mining: Mining::Hard, margin: Margin::Hard(0.0), distance: Distance::Squared };
        // The triplets (0, 1, 3), (1, 2, 4) and (2, 1, 3), each with d_ap - d_an = 3.
        let want = [[-6.0, 0.0], [8.0, -10.0], [-10.0, 4.0], [4.0, 4.0], [4.0, 2.0]];
        let outcome = run(device, &batch, options);
        assert_eq!(outcome.loss, 3.0);
        assert_within("dx", &outcome.dx, &want.concat().iter().map(|v| v / 3.0).collect::<Vec<f32>>(), 1e-6);
    });
}

#[test]
fn images_without_a_positive_or_a_negative_are_left_out() {
    on::each(|device| {
        for options in OPTIONS {
            for labels in [vec![4; 5], vec![0, 1, 2, 3, 4], vec![3]] {
                let batch = Batch::new(&noise(2, 7 * labels.len()), &labels);
                let outcome = run(device, &batch, options);
                assert_eq!((outcome.loss, outcome.terms[0]), (0.0, 0.0), "{labels:?}");
                assert!(outcome.terms[1..].iter().all(|term| term.is_nan()), "{labels:?}");
                assert_eq!(outcome.dx, vec![0.0; batch.x.len()], "{labels:?}");
            }
            // Of the lonely images only the distances count: they may be negatives.
            let batch = around(3, &[0, 0, 1], 7, 1.0);
            assert_eq!(run(device, &batch, options).terms[Term::Anchors as usize], 2.0);
            check(device, &batch, options);
        }
    });
}

/// Copies: two of one identity, and one of another.
#[test]
fn at_distance_zero_the_gradient_is_zero() {
    on::each(|device| {
        for options in OPTIONS {
            let batch = Batch::new(&[0.5; 20], &[0, 0, 1, 1, 1]);
            let outcome = run(device, &batch, options);
            let want = match options.margin {
                Margin::Hard(margin) => margin,
                Margin::Soft => 2f32.ln(),
            };
            assert_close("loss", &[outcome.loss], &[want], 1e-6);
            assert_eq!(outcome.dx, [0.0; 20]);
        }
    });
}

#[test]
fn extreme_distances_stay_finite() {
    on::each(|device| {
        for size in [1e-18, 1e4] {
            let x: Vec<f32> = noise(4, 40).iter().map(|v| v * size).collect();
            let batch = Batch::new(&x, &[0, 0, 1, 1, 2, 2, 3, 3]);
            for options in OPTIONS {
                let Outcome { loss, dx, .. } = run(device, &batch, options);
                assert!(loss.is_finite() && dx.iter().all(|v| v.is_finite()), "{size}, {options:?}: {loss}");
            }
        }
    });
}

#[test]
fn the_loss_is_the_same_in_inference() {
    on::each(|device| {
        let batch = around(6, &MIXED, 9, 0.7);
        for options in OPTIONS {
            assert_eq!(batch.inference(device, apply(options)), run(device, &batch, options).loss);
        }
    });
}

#[test]
fn a_nan_or_an_overflow_shows_in_the_loss() {
    on::each(|device| {
        for wrong in [f32::NAN, f32::INFINITY, 1e25] {
            for (options, at) in OPTIONS.into_iter().flat_map(|o| [0, 13, 59].map(|at| (o, at))) {
                let mut batch = around(1, &MIXED, 6, 1.0);
                batch.x[at] = wrong;
                let loss = run(device, &batch, options).loss;
                assert!(loss.is_nan(), "{wrong} in element {at}, {options:?}: {loss}");
            }
        }
    });
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let labels: Vec<i32> = (0..37).map(|i| i * i % 11).collect();
    around(1, &labels, 70, 1.0).check_threads(apply(OPTIONS[1]));
    around(1, &labels, 70, 1.0).check_threads(apply(OPTIONS[5]));
}

#[test]
fn wrong_inputs_are_refused() {
    let refuse = |x: [usize; 2], labels: &[i32], margin: f32, words: &[&str]| {
        let options =
            Options { mining: Mining::Hard, margin: Margin::Hard(margin), distance: Distance::Euclidean };
        Batch::check_refused("triplet", x, labels, words, apply(options));
    };
    refuse([2, 3], &[0], 0.3, &["[1]", "[2]"]);
    refuse([0, 3], &[], 0.3, &["[0, 3]"]);
    for margin in [-1.0, f32::NAN, f32::INFINITY] {
        refuse([2, 3], &[0, 1], margin, &["margin"]);
    }
}
