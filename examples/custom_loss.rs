//! A loss that the library does not have, written outside of it: the triplet loss with batch-hard mining.
//!
//!     cargo run --release --example custom_loss [-- --device cuda]
//!
//! The mathematics (Hermans, Beyer, Leibe: "In Defense of the Triplet Loss for Person Re-Identification", 2017,
//! equation 5). x_i is the embedding of image i of a batch, y_i its class, d_ij = ||x_i - x_j||. For each image i,
//! let
//!
//!     p = the farthest image of its class  (the hardest positive),
//!     n = the nearest image of another class (the hardest negative);
//!
//! of several that are equally far, the first. With the margin alpha and m images that have both,
//!
//!     L = (1/m) sum_i max(0, alpha + d_ip - d_in).
//!
//! Its gradient. The choice of p and n is constant where the gradient exists, and dd_ij/dx_i = (x_i - x_j) / d_ij =
//! u_ij, dd_ij/dx_j = -u_ij. So each i whose term is above 0 adds
//!
//!     to dx_i: (u_ip - u_in) / m,    to dx_p: -u_ip / m,    to dx_n: u_in / m.
//!
//! u is taken as 0 where d is 0. (The library's batch-contrastive loss has the same hardest negative, but takes all
//! positives and squared distances.)
//!
//! The example has three parts: the operation, a check of its gradient by finite differences, and training on a small
//! problem. The problem is re-identification in small: an image is a class's own vector, hidden under variations that
//! are three times as large; which directions are which has to be learned. The test asks whether the nearest image
//! shows the same class, for classes that training has never seen.

use bcreid::Error;
use bcreid::autograd::{Backward, Init, ParamId, ParamSpecs, Params, Sinks, StepValues, Tape, Var};
use bcreid::device::{Device, Precision};
use bcreid::ops::linear::linear;
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::optim::{MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use clap::Parser;
use std::process::ExitCode;

// The operation.

/// The batch-hard triplet loss `[1]` of embeddings `x` `[m, D]` with one label for each row.
///
/// The arithmetic is on the host, in f64: so it runs on every device, but a GPU is waited for. (Operations of the
/// library have a CUDA kernel and never wait; only those can be captured in a CUDA graph.)
///
/// # Errors
/// If `x` is no matrix or has another number of rows than there are labels; errors of the device.
fn batch_hard_triplet(tape: &mut Tape<'_>, x: Var, labels: &[i32], margin: f64) -> bcreid::Result<Var> {
    let Some([m, d]) = x.shape().matrix().filter(|[m, _]| *m == labels.len()) else {
        let detail =
            format!("x is {}, and there are {} labels; it must be [labels, D]", x.shape(), labels.len());
        return Err(Error::shape(OP, detail));
    };
    let triplets = Triplets::new(&x.value.to_host_f32()?, d, labels, margin);
    let device = tape.device();
    let loss = Tensor::from_f32(&device, [1], &[triplets.loss as f32])?;
    // The one input whose gradient the backward gives, and what it needs for that.
    Ok(tape.record(loss, &[x.handle()], |_| BatchHardTripletBackward {
        gradient: triplets.gradient,
        shape: [m, d],
    }))
}

const OP: &str = "batch_hard_triplet";

/// The operation on the tape, with its saved gradient.
struct BatchHardTripletBackward {
    /// dL/dx by rows: all distances are known in the forward pass already.
    gradient: Vec<f64>,
    shape: [usize; 2],
}

impl Backward for BatchHardTripletBackward {
    fn op(&self) -> &'static str {
        OP
    }

    /// `dy` `[1]` is the gradient of whatever the loss goes into, by the loss: 1, or the loss's weight in a sum.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> bcreid::Result<()> {
        let factor = f64::from(dy.to_host_f32()?[0]);
        let dx: Vec<f32> = self.gradient.iter().map(|g| (factor * g) as f32).collect();
        let dx = Tensor::from_f32(sinks.device(), self.shape, &dx)?;
        // Input 0. The sink takes the tensor as it is, or adds it to the gradient that another user of x has left
        // there.
        sinks.give(0, dx)
    }
}

/// Value and gradient of the loss.
struct Triplets {
    loss: f64,
    gradient: Vec<f64>,
    /// Images whose term is above 0, and those that have a positive and a negative.
    active: usize,
    complete: usize,
}

impl Triplets {
    /// Of the rows of `x`, `d` numbers each.
    fn new(x: &[f32], d: usize, labels: &[i32], margin: f64) -> Self {
        let row = |i: usize| &x[i * d..(i + 1) * d];
        let distance = |i: usize, j: usize| -> f64 {
            let squares = row(i).iter().zip(row(j)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
            squares.sum::<f64>().sqrt()
        };
        let hardest = |i: usize| -> Option<[usize; 2]> {
            // `min_by` takes the first of equals; the farthest positive is the one with the smallest negated distance.
            let positives = (0..labels.len()).filter(|j| *j != i && labels[*j] == labels[i]);
            let positive = positives.min_by(|a, b| (-distance(i, *a)).total_cmp(&-distance(i, *b)))?;
            let negatives = (0..labels.len()).filter(|j| labels[*j] != labels[i]);
            let negative = negatives.min_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b)))?;
            Some([positive, negative])
        };
        let triplets: Vec<[usize; 3]> =
            (0..labels.len()).filter_map(|i| hardest(i).map(|[p, n]| [i, p, n])).collect();
        let complete = triplets.len();
        let mut result = Triplets { loss: 0.0, gradient: vec![0.0; x.len()], active: 0, complete };
        for [i, p, n] in triplets {
            let term = margin + distance(i, p) - distance(i, n);
            if term <= 0.0 {
                continue;
            }
            result.active += 1;
            result.loss += term / complete as f64;
            // d_ip with its sign +, d_in with its sign -.
            for (j, sign) in [(p, 1.0), (n, -1.0)] {
                let length = distance(i, j);
                for c in 0..d {
                    let difference = f64::from(row(i)[c]) - f64::from(row(j)[c]);
                    let u = if length > 0.0 { difference / length } else { 0.0 };
                    result.gradient[i * d + c] += sign * u / complete as f64;
                    result.gradient[j * d + c] -= sign * u / complete as f64;
                }
            }
        }
        result
    }
}

// The check of its gradient.

/// Compares the gradient that the tape gives with (L(x + h) - L(x - h)) / 2h for each element of x; returns the largest
/// difference. The points must be such that moving one by h changes no hardest pair: there the gradient jumps.
fn check_gradient(device: &Device) -> Result<f64, Box<dyn std::error::Error>> {
    /// Half the distance of the two points: large enough that rounding of f32 does not matter.
    const H: f32 = 1e-3;
    /// Weight of the loss, so that a backward that ignores `dy` is found out.
    const WEIGHT: f32 = 2.0;
    let (m, d, margin) = (8, 3, 0.5);
    let labels = [0, 0, 0, 1, 1, 2, 2, 2];
    let draws = Philox::new(4, 0, 0, RngStream::Test);
    // The classes lie apart, but not far: some terms are above 0 and some are not.
    let x: Vec<f32> = (0..m * d).map(|i| draws.normal(i as u32) + 1.5 * labels[i / d] as f32).collect();
    let triplets = Triplets::new(&x, d, &labels, margin);
    if triplets.active == 0 || triplets.active == triplets.complete {
        return Err("the check needs terms above 0 and terms that are 0".into());
    }

    let loss_at = |x: &[f32]| -> bcreid::Result<f64> {
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params)?;
        let x = tape.constant(Tensor::from_f32(device, [m, d], x)?);
        Ok(f64::from(batch_hard_triplet(&mut tape, x, &labels, margin)?.value.to_host_f32()?[0]))
    };
    let mut params = Params::none(device);
    let values = StepValues::new(device, 0)?;
    let mut tape = Tape::new(&mut params, &values);
    let leaf = tape.leaf(Tensor::from_f32(device, [m, d], &x)?);
    let loss = batch_hard_triplet(&mut tape, leaf.clone(), &labels, margin)?;
    let mut gradients = tape.backward(vec![(loss, Tensor::full(device, [1], WEIGHT)?)])?;
    let gradient = gradients.take(&leaf).ok_or("the tape gives no gradient")?.to_host_f32()?;

    let mut worst: f64 = 0.0;
    for (i, analytic) in gradient.iter().enumerate() {
        let moved = |h: f32| {
            let mut x = x.clone();
            x[i] += h;
            loss_at(&x)
        };
        let numeric = f64::from(WEIGHT) * (moved(H)? - moved(-H)?) / (2.0 * f64::from(H));
        let difference = (f64::from(*analytic) - numeric).abs();
        if difference.is_nan() {
            return Err(format!("element {i}: gradient {analytic}, finite difference {numeric}").into());
        }
        worst = worst.max(difference);
    }
    Ok(worst)
}

// Training with it.

/// Numbers of an image: those that tell the class, and all.
const OWN: usize = 4;
const ALL: usize = 16;
const EMBEDDING: usize = 8;
/// Classes for training, then those for the test.
const TRAINED: u64 = 64;
const UNSEEN: u64 = 32;
/// Each batch has so many classes, and so many images of each.
const CLASSES: usize = 8;
const IMAGES: usize = 4;
const STEPS: u64 = 1500;
const MARGIN: f64 = 1.0;
/// Promise of the example: the error of the gradient, and the rank-1 of unseen classes.
const MOST_DIFFERENCE: f64 = 1e-3;
const LEAST_RANK_1: f64 = 0.8;

/// Image `number` of a class: its own 4 numbers with a little noise, and 12 that vary three times as much; then all
/// 16 are mixed by one fixed matrix, so that no single number says anything.
fn image(class: u64, number: u64) -> Vec<f32> {
    let own = Philox::new(1, 0, class, RngStream::Synth);
    let varies = Philox::new(2, number, class, RngStream::Synth);
    let mixing = Philox::new(3, 0, 0, RngStream::Synth);
    let hidden: Vec<f32> = (0..ALL as u32)
        .map(|i| match (i as usize) < OWN {
            true => own.normal(i) + 0.1 * varies.normal(i),
            false => 3.0 * varies.normal(i),
        })
        .collect();
    let mixed = |row: usize| -> f32 {
        let weights = (0..ALL).map(|column| mixing.normal((row * ALL + column) as u32));
        weights.zip(&hidden).map(|(weight, value)| weight * value).sum::<f32>() / (ALL as f32).sqrt()
    };
    (0..ALL).map(mixed).collect()
}

/// x W^T + b: the whole network.
struct Embedding {
    weights: ParamId,
    bias: ParamId,
}

impl Embedding {
    /// Embeddings `[m, 8]` of images `[m, 16]`.
    fn forward(&self, tape: &mut Tape<'_>, images: &[f32]) -> bcreid::Result<Var> {
        let images = Tensor::from_f32(&tape.device(), [images.len() / ALL, ALL], images)?;
        let (images, weights, bias) =
            (tape.constant(images), tape.param(self.weights), tape.param(self.bias));
        linear(tape, images, weights, bias)
    }

    /// The share of images of unseen classes whose nearest other image is of the same class.
    fn rank_1(&self, params: &mut Params) -> bcreid::Result<f64> {
        const EACH: u64 = 8;
        let numbers: Vec<[u64; 2]> = (TRAINED..TRAINED + UNSEEN)
            .flat_map(|class| (0..EACH).map(move |number| [class, number]))
            .collect();
        let images: Vec<f32> = numbers.iter().flat_map(|[class, number]| image(*class, *number)).collect();
        let mut tape = Tape::no_grad(params)?;
        let x = self.forward(&mut tape, &images)?.value.to_host_f32()?;
        let row = |i: usize| &x[i * EMBEDDING..(i + 1) * EMBEDDING];
        let squared =
            |i: usize, j: usize| row(i).iter().zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let is_right = |i: &usize| {
            let others = (0..numbers.len()).filter(|j| j != i);
            let nearest = others.min_by(|a, b| squared(*i, *a).total_cmp(&squared(*i, *b)));
            nearest.is_some_and(|j| numbers[j][0] == numbers[*i][0])
        };
        Ok((0..numbers.len()).filter(is_right).count() as f64 / numbers.len() as f64)
    }
}

/// Writes a loss outside of the library, checks its gradient, and trains with it.
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
            eprintln!("custom_loss: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let (device, which) = Device::choose(&arguments.device, Precision::F32)?;
    println!("{which}");
    let difference = check_gradient(&device)?;
    println!("gradient and finite differences: largest difference {difference:.1e}");
    if difference > MOST_DIFFERENCE {
        return Err(format!("the gradient differs by more than {MOST_DIFFERENCE:.0e}").into());
    }

    let mut specs = ParamSpecs::default();
    let start = Init::Normal(1.0 / (ALL as f32).sqrt());
    let weights = specs.add_with("embedding.weight", [EMBEDDING, ALL], start, 1.0);
    let embedding = Embedding { weights, bias: specs.add("embedding.bias", [EMBEDDING]) };
    let mut params = Params::new(&device, &specs)?;
    params.initialise(0)?;
    let constants =
        Sgd { momentum: 0.9, weight_decay: 0.0, convention: Convention::PyTorch, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants)?;
    optimizer.prepare(&params)?;
    let before = embedding.rank_1(&mut params)?;

    let mut values = StepValues::new(&device, 0)?.with_scalars(&["lr"])?;
    for step in 0..STEPS {
        let classes = Philox::new(0, step, 0, RngStream::Sampler).distinct(CLASSES, TRAINED as usize);
        let labels: Vec<i32> = classes.iter().flat_map(|class| [*class as i32; IMAGES]).collect();
        // Image numbers that the test does not have, new in each step.
        let number = |i: usize| 1000 + step * (CLASSES * IMAGES) as u64 + i as u64;
        let images = labels.iter().enumerate().flat_map(|(i, class)| image(*class as u64, number(i)));
        let images: Vec<f32> = images.collect();

        // A tenth of the rate for the last third: smaller steps come closer to the minimum.
        let learning_rate = if step < STEPS * 2 / 3 { 0.02 } else { 0.002 };
        values.set(step, &[("lr", learning_rate)])?;
        let mut tape = Tape::new(&mut params, &values);
        let x = embedding.forward(&mut tape, &images)?;
        let loss = batch_hard_triplet(&mut tape, x, &labels, MARGIN)?;
        let loss_value = loss.value.to_host_f32()?[0];
        tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0)?)])?;
        optimizer.step(&mut params, values.scalar("lr")?, &values.step)?;
        if step % 250 == 0 || step + 1 == STEPS {
            println!("step {step:>4}: loss {loss_value:.4}");
        }
    }

    let after = embedding.rank_1(&mut params)?;
    println!(
        "rank-1 of {UNSEEN} unseen classes: {:.1} % before, {:.1} % after",
        100.0 * before,
        100.0 * after
    );
    if after >= LEAST_RANK_1 && after > before {
        Ok(())
    } else {
        Err(format!("promised: a rank-1 of at least {:.0} % after training", 100.0 * LEAST_RANK_1).into())
    }
}
