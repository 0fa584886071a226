mod case;
pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::batch_contrastive::{Gradient, Options, Reduction, Term, batch_contrastive};
use bcreid::tensor::Tensor;
use case::{Case, Outcome, tolerance};

const BOTH: [Gradient; 2] = [Gradient::Paper, Gradient::Exact];
const REDUCTIONS: [Reduction; 2] = [Reduction::Sum, Reduction::Mean];

const MIXED: [i32; 9] = [0, 1, 0, 2, 1, 0, 3, 5, 3];

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("batch_contrastive");
        for name in ["wide", "tight", "margin"] {
            let get = |what: &str| &golden[&format!("{name}.{what}")];
            let case = Case {
                x: get("x").values.clone(),
                labels: golden["labels"].i32(),
                centers: get("centers").values.clone(),
                d: get("x").shape[1],
                tau: get("tau").values[0],
                reduction: Reduction::Sum,
            };
            for (gradient, key) in [(Gradient::Paper, "dx.paper"), (Gradient::Exact, "dx.exact")] {
                let outcome = case.run(device, gradient);
                assert_close(name, &[outcome.loss], &get("loss").values, 1e-6);
                assert_close(name, &outcome.terms, &get("terms").values, 1e-6);
                assert_close(name, &outcome.dx, &get(key).values, 1e-6);
            }
        }
    });
}

#[test]
fn each_gradient_is_that_of_its_own_function() {
    on::each(|device| {
        // A hinge active for all, for some and for none; widths around the sixteen lanes and past one run.
        for (d, spread, tau) in
            [(5, 0.8, 0.5), (16, 0.8, 0.2), (21, 0.05, 1.0), (37, 1.5, 1.0), (600, 0.8, 0.3), (8, 2.0, 1e-3)]
        {
            // The reference's finite differences of many features take seconds; below, a device is compared with the
            // CPU.
            if d < 100 || !on::is_cuda(device) {
                Case::noise(&MIXED, d, spread, tau).check(device);
            }
        }
    });
}

/// The tape's checker on the true derivative: also finds a backward that overwrites instead of adding.
#[test]
fn the_exact_gradient_is_that_of_the_loss() {
    on::each(|device| {
        for (spread, tau) in [(3.0, 5.0), (3.0, 0.75)] {
            // The first noise that keeps a finite-difference step away from the kinks.
            let mut cases = (1..).map(|seed| Case::seeded(seed, &MIXED, 6, spread, tau));
            let case = cases.find(|c| c.margin() > 0.03).unwrap();
            for case in REDUCTIONS.map(|reduction| case.reduced(reduction)) {
                let input = Input::new([9, 6], case.x.clone());
                Check { step: 4e-3, ..Check::default() }
                    .run(device, &[input], |t, v| Ok(case.apply(t, v[0].clone(), Gradient::Exact)?.loss));
            }
        }
    });
}

#[test]
fn both_gradients_scale_with_dy_and_add_to_what_is_there() {
    on::each(|device| {
        let case = Case::noise(&MIXED, 6, 1.5, 0.5);
        for gradient in BOTH {
            let dx = case.run_after(device, gradient, -2.5, Some(&[100.0; 54])).dx;
            let expected: Vec<f32> = case.run(device, gradient).dx.iter().map(|v| 100.0 - 2.5 * v).collect();
            assert_close("dx", &dx, &expected, 1e-6);
        }
    });
}

/// `each` images of every identity, one identity after the other.
fn identities(m: usize, each: usize) -> Vec<i32> {
    (0..m).map(|i| (i / each) as i32).collect()
}

/// Batches of one tile of pairs and of several, an odd and an even number of them, features in one part and in many, of
/// whole packs and of other lengths; hinges active for all, for some, and for none.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, each, d) in
            [(16, 4, 64), (20, 3, 3), (33, 4, 65), (49, 2, 68), (16, 4, 2048), (5, 2, 1027), (100, 5, 130)]
        {
            for (spread, tau) in [(0.8, 0.5), (0.01, 1.0), (2.0, 1e-3)] {
                for (gradient, reduction) in
                    [(Gradient::Paper, Reduction::Mean), (Gradient::Exact, Reduction::Sum)]
                {
                    let case = Case::noise(&identities(m, each), d, spread, tau).reduced(reduction);
                    let earlier = noise(5, m * d);
                    let [ours, cpu] =
                        [device, &Device::cpu()].map(|on| case.run_after(on, gradient, -2.5, Some(&earlier)));
                    let what =
                        format!("{m} images of {d} features, spread {spread}, tau {tau}, {reduction:?}");
                    // The hinges are differences of numbers up to tau, and round as those.
                    let hinges = tau * m as f32 / 2.0;
                    let error = tolerance(device) * cpu.loss.max(hinges).max(1.0);
                    assert!((ours.loss - cpu.loss).abs() <= error, "{what}: {}, CPU {}", ours.loss, cpu.loss);
                    assert_close(&what, &ours.terms[3..], &cpu.terms[3..], tolerance(device));
                    // A sum of m differences, each of numbers up to the largest of them.
                    let largest = cpu.dx.iter().fold(1.0f32, |max, v| max.max(v.abs()));
                    assert_close(&what, &ours.dx, &cpu.dx, tolerance(device) * largest);
                }
            }
        }
    });
}

/// The mean divides each loss and the gradient by the number of images, and leaves counts and distances alone.
#[test]
fn the_mean_is_the_sum_over_the_number_of_images() {
    on::each(|device| {
        // Eight images: dividing by 8 is exact.
        let case = Case::noise(&MIXED[..8], 6, 1.5, 0.5);
        for gradient in BOTH {
            let [sum, mean] = REDUCTIONS.map(|reduction| case.reduced(reduction).run(device, gradient));
            assert!(sum.terms[..3].iter().all(|&term| term > 0.0), "every term has something to say");
            assert_eq!(mean.loss, sum.loss / 8.0);
            assert_eq!(mean.terms[..3], [0, 1, 2].map(|term| sum.terms[term] / 8.0));
            assert_eq!(mean.terms[3..], sum.terms[3..]);
            assert_eq!(mean.dx, sum.dx.iter().map(|v| v / 8.0).collect::<Vec<_>>());
        }
    });
}

/// Two images of one identity on their center's axis: every number by hand.
#[test]
fn a_positive_pair_counts_from_both_sides() {
    on::each(|device| {
        let case = Case {
            x: vec![0.0, 3.0],
            labels: vec![0, 0],
            centers: vec![1.0],
            d: 1,
            tau: 1.0,
            reduction: Reduction::Sum,
        };
        let paper = case.run(device, Gradient::Paper);
        assert_eq!(paper.loss, 9.0 + 0.5 * (1.0 + 4.0));
        assert_eq!(paper.dx, [-3.0 - 1.0, 3.0 + 2.0]);
        assert_eq!(case.run(device, Gradient::Exact).dx, [-6.0 - 1.0, 6.0 + 2.0]);
    });
}

/// Image 1 is the hardest negative of image 0 and of image 2, whose hinges push it in the exact gradient
/// alone; its own hardest negative is image 0.
#[test]
fn being_a_hardest_negative_counts_in_the_exact_gradient() {
    on::each(|device| {
        let x = vec![0.0, 0.5, 1.25];
        let case = Case {
            x: x.clone(),
            labels: vec![0, 1, 2],
            centers: x,
            d: 1,
            tau: 1.0,
            reduction: Reduction::Sum,
        };
        assert_eq!(case.run(device, Gradient::Paper).dx, [0.5, -0.5, -0.75]);
        assert_eq!(case.run(device, Gradient::Exact).dx, [1.0, -0.5 - 0.5 + 0.75, -0.75]);
        case.check(device);
    });
}

#[test]
fn ties_go_to_the_lowest_index() {
    on::each(|device| {
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
        let outcome = case.run(device, Gradient::Paper);
        assert_eq!(outcome.dx[..2], [0.5, 0.0], "towards image 2 would be [0, 0.5]");
        // As the later image of the pair the rule is the same: image 2 between images 0 and 1.
        let x = vec![0.5, 0.0, 0.0, 0.5, 0.0, 0.0];
        let case = Case {
            x,
            labels: vec![1, 1, 0],
            centers: vec![0.0; 4],
            d: 2,
            tau: 1.0,
            reduction: Reduction::Sum,
        };
        assert_eq!(case.run(device, Gradient::Paper).dx[4..], [0.5, 0.0]);
    });
}

#[test]
fn at_the_margin_the_hinge_has_no_gradient() {
    on::each(|device| {
        let case = Case {
            x: vec![0.0, 0.5],
            labels: vec![0, 1],
            centers: vec![0.0, 0.5],
            d: 1,
            tau: 0.25,
            reduction: Reduction::Sum,
        };
        for gradient in BOTH {
            let outcome = case.run(device, gradient);
            assert_eq!((outcome.loss, outcome.dx), (0.0, vec![0.0, 0.0]));
        }
    });
}

#[test]
fn one_identity_has_no_hinge() {
    on::each(|device| {
        let case = Case::noise(&[2; 5], 7, 1.0, 10.0);
        case.check(device);
        let outcome = case.run(device, Gradient::Paper);
        assert_eq!((outcome.term(Term::Hinge), outcome.term(Term::PositivePairs)), (0.0, 10.0));
        assert!(outcome.term(Term::InterMean).is_nan() && outcome.term(Term::InterMin).is_nan());
        assert!(outcome.term(Term::IntraMean) > 0.0);
    });
}

#[test]
fn one_image_has_a_center_term_only() {
    on::each(|device| {
        let case = Case::noise(&[1], 7, 1.0, 1.0);
        case.check(device);
        let outcome = case.run(device, Gradient::Exact);
        assert_eq!(outcome.terms[..4], [0.0, 0.0, outcome.loss, 0.0]);
        assert!(outcome.terms[4..].iter().all(|t| t.is_nan()));
    });
}

#[test]
fn no_positive_pair_codes_the_intra_distance_as_nan() {
    on::each(|device| {
        let case = Case::noise(&[0, 1, 2, 3], 7, 1.0, 1.0);
        case.check(device);
        let outcome = case.run(device, Gradient::Paper);
        assert_eq!((outcome.term(Term::Positive), outcome.term(Term::PositivePairs)), (0.0, 0.0));
        assert!(outcome.term(Term::IntraMean).is_nan());
        assert!(outcome.term(Term::InterMean) >= outcome.term(Term::InterMin));
    });
}

#[test]
fn identical_vectors_have_a_finite_gradient() {
    on::each(|device| {
        let case = Case {
            x: vec![0.5; 16],
            labels: vec![0, 0, 1, 1],
            centers: vec![0.25; 8],
            d: 4,
            tau: 1.0,
            reduction: Reduction::Sum,
        };
        for gradient in BOTH {
            let outcome = case.run(device, gradient);
            assert_eq!(outcome.loss, 4.0 * 0.5 + 4.0 * 0.5 * 4.0 * 0.0625);
            assert_eq!(outcome.dx, [0.25; 16]);
        }
    });
}

#[test]
fn tau_zero_switches_the_hinge_off() {
    on::each(|device| {
        let mut case = Case::noise(&MIXED, 7, 1.0, 0.0);
        case.x.copy_within(0..7, 7);
        let outcome = case.run(device, Gradient::Exact);
        assert_eq!((outcome.term(Term::Hinge), outcome.term(Term::InterMin)), (0.0, 0.0));
        case.check(device);
    });
}

/// ||a||^2 + ||b||^2 - 2 a.b in f32 would return about 1e-7 of noise here instead of 2e-12.
#[test]
fn near_duplicates_keep_their_distance() {
    on::each(|device| {
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
            let outcome = case.run(device, gradient);
            let relative = |a: f32, b: f64| (f64::from(a) - b).abs() / b;
            assert!(relative(outcome.term(Term::Positive), squared) < 1e-6);
            assert!(relative(outcome.term(Term::IntraMean), squared.sqrt()) < 1e-6);
            // The center is the first image, so the pair's difference is all there is.
            let sides = if gradient == Gradient::Exact { 2.0 } else { 1.0 };
            let difference = || (0..d).map(|k| x[k] - x[d + k]);
            let expected = difference().map(|v| sides * v).chain(difference().map(|v| -(sides + 1.0) * v));
            for (k, (ours, expected)) in outcome.dx.iter().zip(expected).enumerate() {
                assert!(
                    (f64::from(*ours) - expected).abs() <= 1e-6 * expected.abs(),
                    "{k}: {ours}, {expected}"
                );
            }
        }
    });
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let labels: Vec<i32> = (0..37).map(|i| i * i % 11).collect();
    let case = Case::noise(&labels, 70, 1.0, 0.5);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let Outcome { loss, terms, dx } = pool.install(|| case.run(&Device::cpu(), Gradient::Exact));
        [vec![loss], terms, dx].concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    [2, 3, 8].into_iter().for_each(|threads| assert_eq!(with(1), with(threads)));
    case.check(&Device::cpu());
}

#[test]
fn a_nan_feature_shows_in_the_loss() {
    on::each(|device| {
        let mut case = Case::noise(&[0, 1, 2], 4, 1.0, 1.0);
        case.x[5] = f32::NAN;
        assert!(case.run(device, Gradient::Paper).loss.is_nan());
    });
}

/// A check of the labels would force a synchronisation, so the loss is NaN, and so is the gradient of this image only.
#[test]
fn a_label_that_is_no_class_gives_nan_on_a_gpu() {
    on::cuda(|device| {
        for label in [-1, 3, i32::MIN, i32::MAX] {
            let mut case = Case::noise(&[0, 1, 2], 4, 1.0, 1.0);
            case.labels[1] = label;
            let outcome = case.run(device, Gradient::Paper);
            assert!(outcome.loss.is_nan(), "label {label}: {}", outcome.loss);
            let nan: Vec<bool> = outcome.dx.iter().map(|v| v.is_nan()).collect();
            assert_eq!(nan, [[false; 4], [true; 4], [false; 4]].concat(), "label {label}");
        }
    });
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
        let options = Options { gradient: Gradient::Paper, reduction: Reduction::Sum, tau };
        let error = batch_contrastive(&mut tape, x, &labels, &centers, options).unwrap_err().to_string();
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
