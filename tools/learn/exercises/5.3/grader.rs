//! The best step of a central difference, from a table of errors.

use crate::checks::{Checks, that};
use crate::lines;
use std::path::Path;

/// The error of the central difference of exp near 1 with a step, relative to the derivative: the largest one of 32
/// places, since a rounding error is small by chance at some.
fn error(step: f64, is_f32: bool) -> f64 {
    let of = |i: i32| {
        let x = 1.0 + f64::from(i) / 320.0;
        let (numeric, exact) = match is_f32 {
            true => {
                let (x, h) = (x as f32, step as f32);
                let (right, left) = (x + h, x - h);
                (
                    f64::from(right.exp() - left.exp()) / (f64::from(right) - f64::from(left)),
                    f64::from(x).exp(),
                )
            }
            false => {
                let (right, left) = (x + step, x - step);
                ((right.exp() - left.exp()) / (right - left), x.exp())
            }
        };
        // Without a step: 0 / 0.
        let error = (numeric / exact - 1.0).abs();
        if error.is_nan() { f64::INFINITY } else { error }
    };
    (0..32).map(of).fold(0.0, f64::max)
}

/// The step with the smallest error, of four for each power of ten.
fn best(is_f32: bool) -> f64 {
    let steps = (0..=48).map(|i| 10f64.powf(-f64::from(i) / 4.0));
    let with_error = steps.map(|step| (error(step, is_f32), step));
    with_error.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, step)| step)
}

pub fn grade(checks: &mut Checks, answer: &Path) {
    for (name, is_f32) in [("f32", true), ("f64", false)] {
        checks.check(&format!("the step for {name}"), || {
            let lines = lines::read(answer)?;
            lines::only(&lines, &["f32", "f64"])?;
            let words = lines::behind(&lines, name, "TYPE STEP")?;
            let step: f64 = words[0].parse().map_err(|_| format!("`{}` is no number", words[0]))?;
            that(step > 0.0 && step.is_finite(), || format!("a step of {step} is no step"))?;
            let (best, own) = (best(is_f32), error(step, is_f32));
            that(step >= best / 10.0, || {
                format!("{step:e} is smaller than the best step: the rounding error is {own:.0e} of the derivative; \
                         it grows as 1 / h")
            })?;
            that(step <= best * 10.0, || {
                format!("{step:e} is larger than the best step: the truncation error is {own:.0e} of the derivative; \
                         it grows as h^2")
            })
        });
    }
}
