//! Chapter 8: batch normalisation by its definition and fused, and the variance of numbers with a large mean.

use bcreid::autograd::{BufferId, Init, ParamId, ParamSpecs, Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::add::add;
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::ops::relu::relu;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use std::error::Error;

/// Images, height, width and channels.
const SIZES: [usize; 4] = [4, 8, 4, 16];

fn noise(seed: u64, len: usize) -> Vec<f32> {
    (0..len).map(|i| Philox::new(seed, 0, i as u64, RngStream::Synth).normal(0)).collect()
}

/// A layer of C channels with gamma = 1 and beta = 0.
struct Layer {
    params: Params,
    gamma: ParamId,
    beta: ParamId,
    mean: BufferId,
    var: BufferId,
}

impl Layer {
    fn new(device: &Device, c: usize) -> bcreid::Result<Self> {
        let mut specs = ParamSpecs::default();
        let gamma = specs.add_with("gamma", [c], Init::Constant(1.0), 1.0);
        let beta = specs.add("beta", [c]);
        let mean = specs.add_buffer("running_mean", [c], 0.0);
        let var = specs.add_buffer("running_var", [c], 1.0);
        let mut params = Params::new(device, &specs)?;
        params.initialise(0)?;
        Ok(Layer { params, gamma, beta, mean, var })
    }
}

/// y and the gradients of x and of the residual.
struct Outcome {
    y: Vec<f32>,
    dx: Vec<f32>,
    dresidual: Vec<f32>,
    operations: usize,
}

// ANCHOR: both
/// y = relu(batchnorm(x) + residual), in one operation or in three.
fn step(
    device: &Device,
    fused: bool,
    x: &[f32],
    residual: &[f32],
    dy: &[f32],
) -> Result<Outcome, Box<dyn Error>> {
    const BATCH: Statistics = Statistics::Batch { momentum: 0.1 };
    let mut layer = Layer::new(device, SIZES[3])?;
    let values = StepValues::new(device, 0)?;
    let mut tape = Tape::new(&mut layer.params, &values);
    let x = tape.leaf(Tensor::from_f32(device, SIZES, x)?);
    let r = tape.leaf(Tensor::from_f32(device, SIZES, residual)?);
    let (gamma, beta) = (tape.param(layer.gamma), tape.param(layer.beta));
    let bn = BatchNorm { gamma, beta, mean: layer.mean, var: layer.var };
    let y = if fused {
        let epilogue = Epilogue { residual: Some(r.clone()), relu: true };
        batchnorm(&mut tape, x.clone(), bn, BATCH, epilogue)?
    } else {
        let normal = batchnorm(&mut tape, x.clone(), bn, BATCH, Epilogue::default())?;
        let sum = add(&mut tape, normal, r.clone())?;
        relu(&mut tape, sum)?
    };
    // ANCHOR_END: both
    let operations = tape.recorded().count();
    let values = y.value.f32().to_vec();
    let mut gradients = tape.backward(vec![(y, Tensor::from_f32(device, SIZES, dy)?)])?;
    let mut take = |var| gradients.take(var).map(|gradient| gradient.f32().to_vec()).ok_or("no gradient");
    Ok(Outcome { y: values, dx: take(&x)?, dresidual: take(&r)?, operations })
}

/// Mean and biased variance of channel 0, in f64.
fn moments(values: &[f32], c: usize) -> [f64; 2] {
    let channel: Vec<f64> = values.iter().step_by(c).map(|x| f64::from(*x)).collect();
    let mean = channel.iter().sum::<f64>() / channel.len() as f64;
    [mean, channel.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channel.len() as f64]
}

pub fn run() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let len = SIZES.iter().product();
    let (x, residual, dy) = (noise(1, len), noise(2, len), noise(3, len));

    println!("1. relu(batchnorm(x) + residual) in three operations, and fused");
    let [three, one] = [false, true].map(|fused| step(&device, fused, &x, &residual, &dy));
    let (three, one) = (three?, one?);
    println!("   operations on the tape: {} and {}", three.operations, one.operations);
    println!("   the same y: {}", three.y == one.y);
    println!(
        "   the same dx: {}, the same gradient of the residual: {}",
        three.dx == one.dx,
        three.dresidual == one.dresidual
    );

    println!("2. the gradient of x is orthogonal to a shift and to a scale of its channel");
    let c = SIZES[3];
    let [mean, _] = moments(&x, c);
    let channel = || one.dx.iter().step_by(c).zip(x.iter().step_by(c));
    let shift: f64 = channel().map(|(dx, _)| f64::from(*dx)).sum();
    let scale: f64 = channel().map(|(dx, x)| f64::from(*dx) * (f64::from(*x) - mean)).sum();
    let size: f64 = channel().map(|(dx, _)| f64::from(*dx).abs()).sum();
    println!("   sum of |dx| = {size:.2}, of dx = {:.4}, of dx (x - mean) = {:.4}", shift.abs(), scale.abs());

    println!(
        "3. the variance of 128 numbers with deviation 1, by their mean: E[x^2] - E[x]^2 in f32, and the product"
    );
    for mean in [0.0, 100.0, 10_000.0] {
        let shifted: Vec<f32> = x.iter().map(|x| x + mean).collect();
        let (mut sum, mut squares) = (0.0f32, 0.0f32);
        shifted.iter().step_by(c).for_each(|x| (sum, squares) = (sum + x, squares + x * x));
        let n = (len / c) as f32;
        let naive = squares / n - (sum / n).powi(2);
        // With a momentum of 1 the running variance is that of the batch, times n / (n - 1).
        let mut layer = Layer::new(&device, c)?;
        let values = StepValues::new(&device, 0)?;
        let mut tape = Tape::new(&mut layer.params, &values);
        let (gamma, beta) = (tape.param(layer.gamma), tape.param(layer.beta));
        let bn = BatchNorm { gamma, beta, mean: layer.mean, var: layer.var };
        let x = tape.constant(Tensor::from_f32(&device, SIZES, &shifted)?);
        batchnorm(&mut tape, x, bn, Statistics::Batch { momentum: 1.0 }, Epilogue::default())?;
        drop(tape);
        let product = layer.params.buffer(layer.var).f32()[0] * (n - 1.0) / n;
        let exact = moments(&shifted, c)[1];
        println!("   mean {mean:>5}: {naive:.4}, {product:.4}, exact {exact:.4}");
    }
    Ok(())
}
