//! A multi-layer perceptron that tells two spirals apart.
//!
//!     cargo run --release --example mlp [-- --device cuda]
//!
//! The mathematics. A point x of the plane belongs to class 0 or 1. The network computes a score for each class,
//!
//!     h1 = relu(W1 x + b1),   h2 = relu(W2 h1 + b2),   z = W3 h2 + b3,
//!
//! and the softmax turns the scores into probabilities, p_k = exp(z_k) / sum_j exp(z_j). The loss is the mean of -log
//! p_label over the training points (cross entropy). Stochastic gradient descent with momentum mu and rate eta moves
//! each weight w by its gradient g:
//!
//!     v = mu v + g,   w = w - eta v.
//!
//! Without the rectifiers the network would be one linear map, whose border between the classes is a straight line;
//! no line divides two spirals.
//!
//! The example shows the parts of every training program on this engine: `ParamSpecs` declares the weights, `Params`
//! holds them, a `Tape` records each step, `MomentumSgd` moves them. It trains on all points at once, and counts
//! errors on points that were not trained on.

use bcreid::autograd::{Init, ParamId, ParamSpecs, Params, StepValues, Tape, Var};
use bcreid::device::{Device, Precision};
use bcreid::ops::linear::linear;
use bcreid::ops::relu::relu;
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use clap::Parser;
use std::error::Error;
use std::process::ExitCode;

/// Points of each spiral, for training and for the test.
const POINTS: usize = 200;
/// Width of the hidden layers.
const HIDDEN: usize = 32;
const STEPS: u64 = 500;
const LEARNING_RATE: f32 = 0.1;
const MOMENTUM: f32 = 0.9;
/// Promise of the example: the loss after training, and the share of new points with the right class.
const MOST_LOSS: f32 = 0.1;
const LEAST_ACCURACY: f64 = 0.95;

/// Trains a small network on two spirals.
#[derive(Parser)]
struct Arguments {
    /// Compute device: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mlp: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Two spirals of one and a half turns, the second the first turned by half a circle, with some noise. Points `[2
/// POINTS, 2]` by rows, and the class of each.
fn spirals(set: u64) -> (Vec<f32>, Vec<i32>) {
    let mut points = Vec::new();
    let mut labels = Vec::new();
    for class in 0..2 {
        for i in 0..POINTS {
            let draws = Philox::new(0, set, (class * POINTS + i) as u64, RngStream::Synth);
            // From the middle (t = 0) to the end of the arm (t = 1).
            let t = 0.1 + 0.9 * draws.uniform(0);
            let angle = 3.0 * std::f32::consts::PI * t + std::f32::consts::PI * class as f32;
            // Words 0 to 3 of a stream hold the uniform number, so the normal ones start behind them.
            points.push(t * angle.cos() + 0.02 * draws.normal(2));
            points.push(t * angle.sin() + 0.02 * draws.normal(3));
            labels.push(class as i32);
        }
    }
    (points, labels)
}

// ANCHOR: layer
/// The weights `[K, C]` and the bias `[K]` of a linear layer.
#[derive(Clone, Copy)]
struct Layer {
    weights: ParamId,
    bias: ParamId,
}

impl Layer {
    /// From `inputs` to `outputs` features.
    fn new(specs: &mut ParamSpecs, name: &str, inputs: usize, outputs: usize) -> Self {
        // Deviation sqrt(2 / inputs): behind a rectifier, the outputs are then as large as the inputs (He et al. 2015).
        let init = Init::Normal((2.0 / inputs as f32).sqrt());
        Layer {
            weights: specs.add_with(format!("{name}.weight"), [outputs, inputs], init, 1.0),
            bias: specs.add(format!("{name}.bias"), [outputs]),
        }
    }

    /// x W^T + b of x `[m, C]`: `[m, K]`.
    fn forward(self, tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
        let (weights, bias) = (tape.param(self.weights), tape.param(self.bias));
        linear(tape, x, weights, bias)
    }
}
// ANCHOR_END: layer

struct Mlp([Layer; 3]);

impl Mlp {
    fn new(specs: &mut ParamSpecs) -> Self {
        Mlp([
            Layer::new(specs, "first", 2, HIDDEN),
            Layer::new(specs, "second", HIDDEN, HIDDEN),
            Layer::new(specs, "third", HIDDEN, 2),
        ])
    }

    // ANCHOR: forward
    /// The scores `[m, 2]` of points `[m, 2]`.
    fn forward(&self, tape: &mut Tape<'_>, points: Var) -> bcreid::Result<Var> {
        let [first, second, third] = self.0;
        let h = first.forward(tape, points)?;
        let h = relu(tape, h)?;
        let h = second.forward(tape, h)?;
        let h = relu(tape, h)?;
        third.forward(tape, h)
    }
    // ANCHOR_END: forward

    /// The class with the higher score for each of the points.
    fn classes(&self, params: &mut Params, points: &[f32]) -> bcreid::Result<Vec<i32>> {
        let points = Tensor::from_f32(params.device(), [points.len() / 2, 2], points)?;
        // This tape keeps nothing for a walk backwards.
        let mut tape = Tape::no_grad(params)?;
        let points = tape.constant(points);
        let scores = self.forward(&mut tape, points)?.value.to_host_f32()?;
        Ok(scores.chunks_exact(2).map(|z| i32::from(z[1] > z[0])).collect())
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let (device, which) = Device::choose(&arguments.device, Precision::F32)?;
    println!("{which}");

    // Names and shapes first, then the memory, then the initial values.
    let mut specs = ParamSpecs::default();
    let mlp = Mlp::new(&mut specs);
    let mut params = Params::new(&device, &specs)?;
    params.initialise(0)?;

    let constants =
        Sgd { momentum: MOMENTUM, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants)?;
    optimizer.prepare(&params)?;

    let (points, labels) = spirals(0);
    let points = Tensor::from_f32(&device, [labels.len(), 2], &points)?;
    let labels = Tensor::from_i32(&device, [labels.len()], &labels)?;
    let mut values = StepValues::new(&device, 0)?.with_scalars(&["lr"])?;
    let mut last_loss = f32::NAN;
    for step in 0..STEPS {
        // The learning rate lies on the device, as all that changes from step to step.
        values.set(step, &[("lr", LEARNING_RATE)])?;
        // ANCHOR: step
        let mut tape = Tape::new(&mut params, &values);
        let x = tape.constant(points.clone());
        let scores = mlp.forward(&mut tape, x)?;
        let loss = softmax_cross_entropy(&mut tape, scores, &labels)?;
        let loss_value = loss.value.clone();
        // dL/dL = 1. The gradients of the weights go to the buffers of the parameters.
        tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0)?)])?;
        optimizer.step(&mut params, values.scalar("lr")?, &values.step)?;
        // ANCHOR_END: step
        if step % 100 == 0 || step + 1 == STEPS {
            // Waits for the device, which is why not every step asks.
            last_loss = loss_value.to_host_f32()?[0];
            println!("step {step:>4}: loss {last_loss:.4}");
        }
    }

    draw(&mlp, &mut params)?;
    let (points, labels) = spirals(1);
    let found = mlp.classes(&mut params, &points)?;
    let right = found.iter().zip(&labels).filter(|(found, label)| found == label).count();
    let accuracy = right as f64 / labels.len() as f64;
    println!("accuracy on {} new points: {:.1} %", labels.len(), 100.0 * accuracy);
    // Written so that NaN fails.
    let kept = last_loss <= MOST_LOSS && accuracy >= LEAST_ACCURACY;
    let promise =
        || format!("promised: a loss of at most {MOST_LOSS}, an accuracy of at least {LEAST_ACCURACY}");
    if kept { Ok(()) } else { Err(promise().into()) }
}

/// Prints which class the network gives to each place of the plane.
fn draw(mlp: &Mlp, params: &mut Params) -> bcreid::Result<()> {
    // A character is twice as high as wide.
    let (rows, columns) = (21, 42);
    let at = |i: usize, n: usize| 2.2 * (i as f32 / (n - 1) as f32) - 1.1;
    let place = |i: usize| [at(i % columns, columns), -at(i / columns, rows)];
    let places: Vec<f32> = (0..rows * columns).flat_map(place).collect();
    for row in mlp.classes(params, &places)?.chunks_exact(columns) {
        println!("    {}", row.iter().map(|class| if *class == 0 { '.' } else { '#' }).collect::<String>());
    }
    Ok(())
}
