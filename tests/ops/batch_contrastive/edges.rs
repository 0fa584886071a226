//! Ties, margins, batches without a pair or a negative, near duplicates, NaN, wrong shapes.

use super::case::{BOTH, Case, MIXED, Outcome};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{Gradient, Reading, Reduction, Term, batch_contrastive};
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

#[test]
fn ties_go_to_the_lowest_index() {
    // Images 1 and 2 are equally far from image 0, in different directions, and out of each other's way.
    let x = vec![0.0, 0.0, 0.5, 0.0, 0.0, 0.5];
    let case = Case {
        x: x.clone(),
        labels: vec![0, 1, 1],
        centers: vec![0.0; 4],
        d: 2,
        tau: 1.0,
        reduction: Reduction::Sum,
    };
    let outcome = case.run(Gradient::Paper);
    assert_eq!(outcome.dx[..2], [0.5, 0.0], "towards image 2 would be [0, 0.5]");
    // As the later image of the pair the rule is the same: image 2 between images 0 and 1.
    let x = vec![0.5, 0.0, 0.0, 0.5, 0.0, 0.0];
    let case =
        Case { x, labels: vec![1, 1, 0], centers: vec![0.0; 4], d: 2, tau: 1.0, reduction: Reduction::Sum };
    assert_eq!(case.run(Gradient::Paper).dx[4..], [0.5, 0.0]);
}

#[test]
fn at_the_margin_the_hinge_has_no_gradient() {
    let case = Case {
        x: vec![0.0, 0.5],
        labels: vec![0, 1],
        centers: vec![0.0, 0.5],
        d: 1,
        tau: 0.25,
        reduction: Reduction::Sum,
    };
    for gradient in BOTH {
        let outcome = case.run(gradient);
        assert_eq!((outcome.loss, outcome.dx), (0.0, vec![0.0, 0.0]));
    }
}

#[test]
fn one_identity_has_no_hinge() {
    let case = Case::noise(&[2; 5], 7, 1.0, 10.0);
    case.check();
    let outcome = case.run(Gradient::Paper);
    assert_eq!((outcome.term(Term::Hinge), outcome.term(Term::PositivePairs)), (0.0, 10.0));
    assert!(outcome.term(Term::InterMean).is_nan() && outcome.term(Term::InterMin).is_nan());
    assert!(outcome.term(Term::IntraMean) > 0.0);
}

#[test]
fn one_image_has_a_center_term_only() {
    let case = Case::noise(&[1], 7, 1.0, 1.0);
    case.check();
    let outcome = case.run(Gradient::Exact);
    assert_eq!(outcome.terms[..4], [0.0, 0.0, outcome.loss, 0.0]);
    assert!(outcome.terms[4..].iter().all(|t| t.is_nan()));
}

#[test]
fn no_positive_pair_codes_the_intra_distance_as_nan() {
    let case = Case::noise(&[0, 1, 2, 3], 7, 1.0, 1.0);
    case.check();
    let outcome = case.run(Gradient::Paper);
    assert_eq!((outcome.term(Term::Positive), outcome.term(Term::PositivePairs)), (0.0, 0.0));
    assert!(outcome.term(Term::IntraMean).is_nan());
    assert!(outcome.term(Term::InterMean) >= outcome.term(Term::InterMin));
}

#[test]
fn identical_vectors_have_a_finite_gradient() {
    let case = Case {
        x: vec![0.5; 16],
        labels: vec![0, 0, 1, 1],
        centers: vec![0.25; 8],
        d: 4,
        tau: 1.0,
        reduction: Reduction::Sum,
    };
    for gradient in BOTH {
        let outcome = case.run(gradient);
        assert_eq!(outcome.loss, 4.0 * 0.5 + 4.0 * 0.5 * 4.0 * 0.0625);
        assert_eq!(outcome.dx, [0.25; 16]);
    }
}

#[test]
fn tau_zero_switches_the_hinge_off() {
    let mut case = Case::noise(&MIXED, 7, 1.0, 0.0);
    case.x.copy_within(0..7, 7);
    let outcome = case.run(Gradient::Exact);
    assert_eq!((outcome.term(Term::Hinge), outcome.term(Term::InterMin)), (0.0, 0.0));
    case.check();
}

/// ||a||^2 + ||b||^2 - 2 a.b in f32 would return about 1e-7 of noise here instead of 2e-12.
#[test]
fn near_duplicates_keep_their_distance() {
    let d = 2048;
    let mut case = Case::noise(&[0, 0], d, 0.5, 1.0);
    case.centers = case.x[..d].to_vec();
    let (first, second) = case.x.split_at_mut(d);
    second.copy_from_slice(first);
    second.iter_mut().step_by(2).for_each(|v| *v = f32::from_bits(v.to_bits() + 20));
    let x = case.x64();
    let squared: f64 = (0..d).map(|k| (x[k] - x[d + k]).powi(2)).sum();
    assert!(squared < 1e-9);
    for gradient in BOTH {
        let outcome = case.run(gradient);
        let relative = |a: f32, b: f64| (f64::from(a) - b).abs() / b;
        assert!(relative(outcome.term(Term::Positive), squared) < 1e-6);
        assert!(relative(outcome.term(Term::IntraMean), squared.sqrt()) < 1e-6);
        // The center is the first image, so the pair's difference is all there is.
        let sides = if gradient == Gradient::Exact { 2.0 } else { 1.0 };
        let difference = || (0..d).map(|k| x[k] - x[d + k]);
        let expected = difference().map(|v| sides * v).chain(difference().map(|v| -(sides + 1.0) * v));
        for (k, (ours, expected)) in outcome.dx.iter().zip(expected).enumerate() {
            assert!((f64::from(*ours) - expected).abs() <= 1e-6 * expected.abs(), "{k}: {ours}, {expected}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let labels: Vec<i32> = (0..37).map(|i| i * i % 11).collect();
    let case = Case::noise(&labels, 70, 1.0, 0.5);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let Outcome { loss, terms, dx } = pool.install(|| case.run(Gradient::Exact));
        [vec![loss], terms, dx].concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(with(1), with(3));
    case.check();
}

#[test]
fn a_nan_feature_shows_in_the_loss() {
    let mut case = Case::noise(&[0, 1, 2], 4, 1.0, 1.0);
    case.x[5] = f32::NAN;
    assert!(case.run(Gradient::Paper).loss.is_nan());
}

#[test]
fn wrong_inputs_are_refused() {
    let device = Device::cpu();
    let refuse = |x: [usize; 2], labels: &[i32], centers: [usize; 2], tau: f32, words: &[&str]| {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let x = tape.leaf(Tensor::zeros(&device, x).unwrap());
        let labels = Tensor::from_i32(&device, [labels.len()], labels).unwrap();
        let centers = Tensor::zeros(&device, centers).unwrap();
        let reading = Reading { gradient: Gradient::Paper, reduction: Reduction::Sum, tau };
        let error = batch_contrastive(&mut tape, x, &labels, &centers, reading).unwrap_err().to_string();
        assert!(error.starts_with("batch_contrastive: "), "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    };
    refuse([2, 3], &[0, 1], [2, 4], 1.0, &["[2, 3]", "[2, 4]"]);
    refuse([2, 3], &[0, 2], [2, 3], 1.0, &["label 2 of image 1"]);
    refuse([2, 3], &[0], [2, 3], 1.0, &["[1]", "[2]"]);
    refuse([0, 3], &[], [2, 3], 1.0, &["[0, 3]"]);
    for tau in [-1.0, f32::NAN, f32::INFINITY] {
        refuse([2, 3], &[0, 1], [2, 3], tau, &["tau"]);
    }
}
