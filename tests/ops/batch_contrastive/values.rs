//! Losses and gradients: golden values, finite differences, and small batches by hand.

use super::case::{BOTH, Case, MIXED, REDUCTIONS};
use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input};
use bcreid::device::Device;
use bcreid::ops::add::add;
use bcreid::ops::batch_contrastive::{Gradient, Reduction};
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

#[test]
fn golden_values() {
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
            let outcome = case.run(gradient);
            assert_close(name, &[outcome.loss], &get("loss").values, 1e-6);
            assert_close(name, &outcome.terms, &get("terms").values, 1e-6);
            assert_close(name, &outcome.dx, &get(key).values, 1e-6);
        }
    }
}

#[test]
fn each_gradient_is_that_of_its_own_function() {
    // A hinge active for all, for some and for none; widths around the sixteen lanes and past one run.
    for (d, spread, tau) in
        [(5, 0.8, 0.5), (16, 0.8, 0.2), (21, 0.05, 1.0), (37, 1.5, 1.0), (600, 0.8, 0.3), (8, 2.0, 1e-3)]
    {
        Case::noise(&MIXED, d, spread, tau).check();
    }
}

/// The tape's checker on the true derivative: also finds a backward that overwrites instead of adding.
#[test]
fn the_exact_gradient_is_that_of_the_loss() {
    for (spread, tau) in [(3.0, 5.0), (3.0, 0.75)] {
        // The first noise that keeps a finite-difference step away from the kinks.
        let case =
            (1..).map(|seed| Case::seeded(seed, &MIXED, 6, spread, tau)).find(|c| c.margin() > 0.03).unwrap();
        for case in REDUCTIONS.map(|reduction| case.reduced(reduction)) {
            Check { step: 4e-3, ..Check::default() }.run(&[Input::new([9, 6], case.x.clone())], |t, v| {
                Ok(case.apply(t, v[0].clone(), Gradient::Exact)?.loss)
            });
        }
    }
}

#[test]
fn both_gradients_scale_with_dy_and_add_to_what_is_there() {
    let device = Device::cpu();
    let case = Case::noise(&MIXED, 6, 1.5, 0.5);
    for gradient in BOTH {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let x = tape.leaf(Tensor::from_f32(&device, [9, 6], &case.x).unwrap());
        let loss = case.apply(&mut tape, x.clone(), gradient).unwrap().loss;
        let zero = tape.constant(Tensor::zeros(&device, [9, 6]).unwrap());
        let copy = add(&mut tape, zero, x.clone()).unwrap();
        let seeds = vec![
            (loss, Tensor::full(&device, [1], -2.5).unwrap()),
            (copy, Tensor::full(&device, [9, 6], 100.0).unwrap()),
        ];
        let dx = tape.backward(seeds).unwrap().take(&x).unwrap().to_host_f32().unwrap();
        let expected: Vec<f32> = case.run(gradient).dx.iter().map(|v| 100.0 - 2.5 * v).collect();
        assert_close("dx", &dx, &expected, 1e-6);
    }
}

/// The mean divides each loss and the gradient by the number of images, and leaves counts and distances alone.
#[test]
fn the_mean_is_the_sum_over_the_number_of_images() {
    // Eight images: dividing by 8 is exact.
    let case = Case::noise(&MIXED[..8], 6, 1.5, 0.5);
    for gradient in BOTH {
        let [sum, mean] = REDUCTIONS.map(|reduction| case.reduced(reduction).run(gradient));
        assert!(sum.terms[..3].iter().all(|&term| term > 0.0), "every term has something to say");
        assert_eq!(mean.loss, sum.loss / 8.0);
        assert_eq!(mean.terms[..3], [0, 1, 2].map(|term| sum.terms[term] / 8.0));
        assert_eq!(mean.terms[3..], sum.terms[3..]);
        assert_eq!(mean.dx, sum.dx.iter().map(|v| v / 8.0).collect::<Vec<_>>());
    }
}

/// Two images of one identity on their center's axis: every number by hand.
#[test]
fn a_positive_pair_counts_from_both_sides() {
    let case = Case {
        x: vec![0.0, 3.0],
        labels: vec![0, 0],
        centers: vec![1.0],
        d: 1,
        tau: 1.0,
        reduction: Reduction::Sum,
    };
    let paper = case.run(Gradient::Paper);
    assert_eq!(paper.loss, 9.0 + 0.5 * (1.0 + 4.0));
    assert_eq!(paper.dx, [-3.0 - 1.0, 3.0 + 2.0]);
    assert_eq!(case.run(Gradient::Exact).dx, [-6.0 - 1.0, 6.0 + 2.0]);
}

/// Image 1 is the hardest negative of image 0 and of image 2, whose hinges push it in the exact gradient
/// alone; its own hardest negative is image 0.
#[test]
fn being_a_hardest_negative_counts_in_the_exact_gradient() {
    let x = vec![0.0, 0.5, 1.25];
    let case =
        Case { x: x.clone(), labels: vec![0, 1, 2], centers: x, d: 1, tau: 1.0, reduction: Reduction::Sum };
    assert_eq!(case.run(Gradient::Paper).dx, [0.5, -0.5, -0.75]);
    assert_eq!(case.run(Gradient::Exact).dx, [1.0, -0.5 - 0.5 + 0.75, -0.75]);
    case.check();
}
