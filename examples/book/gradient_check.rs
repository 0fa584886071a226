//! Chapter 5: a gradient check, planted errors, and the step of a finite difference.

// The checker of the tests.
#[allow(dead_code)]
#[path = "../../tests/ops/gradient_check.rs"]
pub mod checker;

use super::fan_out::square;
use bcreid::autograd::{Backward, Params, Sinks, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::tensor::Tensor;
use checker::{Check, Input};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

// ANCHOR: planted
/// y = softmax of each row of x `[m, n]`, with a wrong gradient: dx = y dy, without the sum over the row.
struct WrongSoftmax {
    y: Tensor,
}

impl Backward for WrongSoftmax {
    fn op(&self) -> &'static str {
        "wrong_softmax"
    }

    /// The right one is dx_j = y_j (dy_j - sum_k y_k dy_k).
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        sinks.add(0, |dx, mode| {
            mode.store(dx.f32_mut(), self.y.f32().iter().zip(dy.f32()).map(|(y, dy)| y * dy));
            Ok(())
        })
    }
}
// ANCHOR_END: planted

fn wrong_softmax(tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
    let [m, n] = x.shape().matrix().expect("a matrix");
    let row = |x: &[f32]| {
        let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exp: Vec<f32> = x.iter().map(|x| (x - max).exp()).collect();
        let sum: f32 = exp.iter().sum();
        exp.into_iter().map(move |e| e / sum).collect::<Vec<f32>>()
    };
    let y: Vec<f32> = x.value.f32().chunks_exact(n).flat_map(row).collect();
    let y = Tensor::from_f32(&tape.device(), [m, n], &y)?;
    Ok(tape.record(y, &[x.handle()], |y| WrongSoftmax { y }))
}

// ANCHOR: verdict
/// Runs the checker on one operation and prints its verdict.
fn verdict(name: &str, input: Input, op: impl Fn(&mut Tape<'_>, &[Var]) -> bcreid::Result<Var>) {
    let device = Device::cpu();
    let passed = catch_unwind(AssertUnwindSafe(|| Check::default().run(&device, &[input], op)));
    let message = passed.err().and_then(|error| error.downcast_ref::<String>().cloned());
    println!("{name}: {}", message.map_or("passed".into(), |message| format!("FAILED, {message}")));
}
// ANCHOR_END: verdict

pub fn run() -> Result<(), Box<dyn Error>> {
    // The verdict prints the message of a failed check.
    std::panic::set_hook(Box::new(|_| ()));
    verdict("square", Input::noise([4], 1), |tape, x| square(tape, x[0].clone(), true));
    verdict("square that overwrites", Input::noise([4], 1), |tape, x| square(tape, x[0].clone(), false));
    // ANCHOR: inputs
    let spread: Vec<f32> = checker::noise(2, 64);
    let near_uniform: Vec<f32> = spread.iter().map(|x| 1e-3 * x).collect();
    let peaked: Vec<f32> =
        spread.iter().enumerate().map(|(i, x)| if i % 16 == 5 { 6.0 } else { *x }).collect();
    // ANCHOR_END: inputs
    for (kind, values) in [("near-uniform", near_uniform), ("peaked", peaked)] {
        let wrong = Input::new([1, 64], values.clone());
        verdict(&format!("wrong softmax of {kind} logits"), wrong, |tape, x| {
            wrong_softmax(tape, x[0].clone())
        });
        let labels = Tensor::from_i32(&Device::cpu(), [4], &[5, 0, 15, 7])?;
        let right = Input::new([4, 16], values);
        verdict(&format!("the product's loss of {kind} logits"), right, |tape, x| {
            softmax_cross_entropy(tape, x[0].clone(), &labels)
        });
    }
    Ok(())
}

/// The loss of one row of logits, as f64 of the f32 that the operation returns.
fn loss(logits: &[f32]) -> bcreid::Result<f64> {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0)?);
    let z = tape.constant(Tensor::from_f32(&device, [1, logits.len()], logits)?);
    let labels = Tensor::from_i32(&device, [1], &[1])?;
    Ok(f64::from(softmax_cross_entropy(&mut tape, z, &labels)?.value.f32()[0]))
}

pub fn step_sizes() -> Result<(), Box<dyn Error>> {
    let logits = [0.5f32, -1.0, 2.0];
    let exp = logits.map(|z| f64::from(z).exp());
    let exact = exp[0] / exp.iter().sum::<f64>();
    println!("step and error of the central difference of the loss by z_0, which is {exact:.6}");
    // ANCHOR: difference
    for power in 0..=6 {
        let step = 10f32.powi(-power);
        let [mut right, mut left] = [logits; 2];
        right[0] += step;
        left[0] -= step;
        // The step that f32 made is not exactly the step that was asked for.
        let moved = f64::from(right[0]) - f64::from(left[0]);
        let numeric = (loss(&right)? - loss(&left)?) / moved;
        println!("{step:e} {:.0e}", (numeric - exact).abs());
    }
    // ANCHOR_END: difference
    Ok(())
}
