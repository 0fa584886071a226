use crate::answer::{in_pytorch, textbook};
use crate::checks::*;
use std::cell::RefCell;

const STEPS: usize = 50;

/// The forms of a step. All keep v = mu v + g.
#[derive(Clone, Copy)]
enum Form {
    /// The gradient of the point ahead.
    Textbook,
    /// The gradient of the weight itself: plain momentum.
    Plain,
    /// The point ahead lacks the factor mu.
    WithoutMomentum,
}

/// A function with several slopes: the gradient at a weight.
fn gradient(w: f64) -> f64 {
    0.8 * w + (3.0 * w).sin()
}

/// Weight and velocity of a form after each step.
fn run(form: Form, rate: f64, mu: f64) -> Vec<[f64; 2]> {
    let (mut w, mut v) = (1.5, 0.0);
    (0..STEPS)
        .map(|_| {
            let ahead = match form {
                Form::Textbook => w - rate * mu * v,
                Form::Plain => w,
                Form::WithoutMomentum => w - rate * v,
            };
            v = mu * v + gradient(ahead);
            w -= rate * v;
            [w, v]
        })
        .collect()
}

/// PyTorch's weight after each step, with the rule of the product.
fn pytorch(rate: f64, mu: f64) -> Vec<f64> {
    let (mut w, mut v) = (1.5, 0.0);
    (0..STEPS)
        .map(|_| {
            let g = gradient(w);
            v = mu * v + g;
            w -= rate * (g + mu * v);
            w
        })
        .collect()
}

const CONSTANTS: [[f64; 2]; 4] = [[0.05, 0.9], [0.1, 0.5], [0.02, 0.99], [0.1, 0.0]];

pub fn grade(checks: &mut Checks) {
    checks.check("the form of the textbooks", || {
        for [rate, mu] in CONSTANTS {
            let (mut w, mut v) = (1.5, 0.0);
            let asked = RefCell::new(0);
            let counted = |w: f64| {
                *asked.borrow_mut() += 1;
                gradient(w)
            };
            let mut got = Vec::new();
            for _ in 0..STEPS {
                textbook(&mut w, &mut v, &counted, rate, mu);
                got.push([w, v]);
            }
            let compare = |form| {
                got.iter().zip(run(form, rate, mu)).enumerate().try_for_each(|(step, (got, want))| {
                    close("w", &got[..1], &want[..1], 1e-9)
                        .and_then(|()| close("v", &got[1..], &want[1..], 1e-9))
                        .map_err(|found| format!("step {step}: {found}"))
                })
            };
            compare(Form::Textbook).map_err(|found| {
                let why = if compare(Form::Plain).is_ok() {
                    "that is plain momentum: the gradient is that of the weight, not of the point ahead"
                } else if compare(Form::WithoutMomentum).is_ok() {
                    "the old velocity carries the weight by r mu v; you looked ahead by r v"
                } else {
                    &found
                };
                format!("learning rate {rate}, momentum {mu}: {why}")
            })?;
            let asked = *asked.borrow();
            that(asked == STEPS, || format!("{asked} gradients in {STEPS} steps: each step needs one"))?;
        }
        Ok(())
    });
    checks.check("PyTorch's weight", || {
        for [rate, mu] in CONSTANTS {
            for (step, (&[w, v], want)) in
                run(Form::Textbook, rate, mu).iter().zip(pytorch(rate, mu)).enumerate()
            {
                close("PyTorch's w", &[in_pytorch(w, v, rate, mu)], &[want], 1e-9).map_err(|found| {
                    format!("learning rate {rate}, momentum {mu}, after step {step}: {found}")
                })?;
            }
        }
        Ok(())
    });
}
