//! Chapter 10: the same gradients with each optimiser.

use bcreid::autograd::{Init, ParamId, ParamSpecs, Params};
use bcreid::device::Device;
use bcreid::ops::adam::{self, WeightDecay};
use bcreid::ops::sgd::{Convention, Sgd};
use bcreid::optim::{Adam, MomentumSgd, Optimizer};
use bcreid::tensor::Tensor;
use std::error::Error;

/// One parameter of one element, with the value 1.
fn parameter(device: &Device) -> Result<(Params, ParamId), Box<dyn Error>> {
    let mut specs = ParamSpecs::default();
    let w = specs.add_with("w", [1], Init::Constant(1.0), 1.0);
    let mut params = Params::new(device, &specs)?;
    params.initialise(0)?;
    Ok((params, w))
}

// ANCHOR: steps
/// The weight after each step, with these gradients and learning rates.
fn run_steps(
    optimizer: &mut dyn Optimizer,
    params: &mut Params,
    w: ParamId,
    steps: impl IntoIterator<Item = (f32, f32)>,
) -> Result<Vec<f32>, Box<dyn Error>> {
    let device = params.device().clone();
    optimizer.prepare(params)?;
    let mut weights = Vec::new();
    for (number, (gradient, rate)) in (0..).zip(steps) {
        params.get_mut(w).grad.copy_from_host_f32(&[gradient])?;
        let (rate, number) = (Tensor::full(&device, [1], rate)?, Tensor::from_i32(&device, [1], &[number])?);
        optimizer.step(params, &rate, &number)?;
        weights.push(params.get(w).value.f32()[0]);
    }
    Ok(weights)
}
// ANCHOR_END: steps

/// SGD with the gradient 1, and a learning rate that drops from 0.1 to 0.01 in step 4.
fn with_drop(convention: Convention) -> Result<Vec<f32>, Box<dyn Error>> {
    let (mut params, w) = parameter(&Device::cpu())?;
    let constants = Sgd { momentum: 0.9, weight_decay: 0.0, convention, nesterov: false };
    let mut optimizer = MomentumSgd::new(&params, constants)?;
    let steps = (0..8).map(|step| (1.0, if step < 4 { 0.1 } else { 0.01 }));
    run_steps(&mut optimizer, &mut params, w, steps)
}

/// The lengths of the steps from the value 1.
fn lengths(weights: &[f32]) -> Vec<f32> {
    let before = std::iter::once(&1.0).chain(weights);
    before.zip(weights).map(|(before, after)| before - after).collect()
}

fn adam(form: WeightDecay, weight_decay: f32, gradients: &[f32]) -> Result<Vec<f32>, Box<dyn Error>> {
    let (mut params, w) = parameter(&Device::cpu())?;
    let constants = adam::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay, form };
    let mut optimizer = Adam::new(&params, constants, false)?;
    run_steps(&mut optimizer, &mut params, w, gradients.iter().map(|gradient| (*gradient, 0.1)))
}

pub fn run() -> Result<(), Box<dyn Error>> {
    println!("1. SGD, gradient 1, momentum 0.9, learning rate 0.1, from step 4 on 0.01: length of each step");
    println!("   step PyTorch Caffe");
    let [pytorch, caffe] = [Convention::PyTorch, Convention::Caffe].map(with_drop);
    let (pytorch, caffe) = (lengths(&pytorch?), lengths(&caffe?));
    for (step, (pytorch, caffe)) in pytorch.iter().zip(&caffe).enumerate() {
        println!("   {step} {pytorch:.4} {caffe:.4}");
    }

    println!("2. Adam, learning rate 0.1: lengths of four steps");
    for gradients in
        [[1.0, 1.0, 1.0, 1.0], [1e-3, 1e-3, 1e-3, 1e-3], [1.0, -1.0, 1.0, -1.0], [1.0, 0.0, 0.0, 0.0]]
    {
        let lengths = lengths(&adam(WeightDecay::L2, 0.0, &gradients)?);
        println!("   gradients {gradients:?}: {lengths:.4?}");
    }

    println!("3. weight decay 0.1, gradients 1, 1, 0, 0: the weight");
    for (name, form) in [("Adam, L2", WeightDecay::L2), ("AdamW", WeightDecay::Decoupled)] {
        println!("   {name}: {:.4?}", adam(form, 0.1, &[1.0, 1.0, 0.0, 0.0])?);
    }
    Ok(())
}
