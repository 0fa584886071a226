//! Chapter 9: the operations of a ResNet-50, and what a shortcut does to a gradient.

use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::config::{Arch, Model};
use bcreid::device::Device;
use bcreid::model::resnet::{ResNet, Spec};
use bcreid::ops::add::add;
use bcreid::ops::batchnorm::Statistics;
use bcreid::ops::linear::linear;
use bcreid::ops::relu::relu;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use std::error::Error;

pub fn run() -> Result<(), Box<dyn Error>> {
    let full = Spec::of(&Model { arch: Arch::Resnet50, ..Model::default() });
    println!("ResNet-50: parameters by stage");
    let specs = full.param_specs();
    let of = |stage: &str| -> usize {
        let own = specs.shapes().filter(|(name, _)| name.starts_with(stage) && !name.contains("running"));
        own.map(|(_, shape)| shape.len()).sum()
    };
    for stage in ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", ""] {
        println!("  {:<7}{:>11}", if stage.is_empty() { "all" } else { stage }, of(stage));
    }

    println!("its operations with a sixteenth of the channels, for one image of 256 x 128");
    let device = Device::cpu();
    let spec = Spec { width: 4, stem: 4, ..full };
    // ANCHOR: recorded
    let mut specs = ParamSpecs::default();
    let resnet = ResNet::new(&spec, &mut specs);
    let mut params = Params::new(&device, &specs)?;
    params.initialise(0)?;
    let values = StepValues::new(&device, 0)?;
    let mut tape = Tape::new(&mut params, &values);
    let pixels = tape.constant(Tensor::full(&device, [1, 256, 128, 3], 0.5)?);
    let features = resnet.forward(&mut tape, pixels, Statistics::Frozen)?;
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for (number, (op, inputs)) in tape.recorded().enumerate() {
        match kinds.iter_mut().find(|(kind, _)| *kind == op) {
            Some((_, count)) => *count += 1,
            None => kinds.push((op, 1)),
        }
        // conv1 to the first block of stage 1, and the first block of stage 2.
        if number < 11 || (23..31).contains(&number) {
            let first: Vec<String> = inputs.iter().take(2).map(|shape| shape.to_string()).collect();
            println!("  {number:>3} {op:<10}{}", first.join(" "));
        }
    }
    println!("  features: {}, operations: {kinds:?}", features.shape());
    // ANCHOR_END: recorded
    Ok(())
}

/// Width of the layers, and rows of the input.
const WIDTH: usize = 32;
const ROWS: usize = 8;

fn noise(seed: u64, len: usize, deviation: f32) -> Vec<f32> {
    (0..len).map(|i| deviation * Philox::new(seed, 0, i as u64, RngStream::Synth).normal(0)).collect()
}

pub fn shortcuts() -> Result<(), Box<dyn Error>> {
    let device = Device::cpu();
    let values = StepValues::new(&device, 0)?;
    println!("size of the gradient of the input, as a part of that of the output");
    println!("layers, h = relu(h W^T), h = h + relu(h W^T)");
    for layers in [1, 2, 4, 8, 16, 32] {
        let mut sizes = Vec::new();
        for has_shortcut in [false, true] {
            // ANCHOR: chain
            let mut params = Params::none(&device);
            let mut tape = Tape::new(&mut params, &values);
            let x = tape.leaf(Tensor::from_f32(&device, [ROWS, WIDTH], &noise(1, ROWS * WIDTH, 1.0))?);
            let bias = tape.constant(Tensor::zeros(&device, [WIDTH])?);
            let mut h = x.clone();
            for layer in 0..layers {
                // A quarter of the deviation that keeps the size of the activations.
                let deviation = 0.25 * (2.0 / WIDTH as f32).sqrt();
                let w = noise(10 + layer, WIDTH * WIDTH, deviation);
                let w = tape.constant(Tensor::from_f32(&device, [WIDTH, WIDTH], &w)?);
                let y = linear(&mut tape, h.clone(), w, bias.clone())?;
                let y = relu(&mut tape, y)?;
                h = if has_shortcut { add(&mut tape, h, y)? } else { y };
            }
            let dy = noise(2, ROWS * WIDTH, 1.0);
            let mut gradients = tape.backward(vec![(h, Tensor::from_f32(&device, [ROWS, WIDTH], &dy)?)])?;
            let dx = gradients.take(&x).ok_or("h depends on x")?;
            // ANCHOR_END: chain
            let size = |values: &[f32]| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            sizes.push(size(dx.f32()) / size(&dy));
        }
        println!("{layers:>2} {:.1e} {:.1e}", sizes[0], sizes[1]);
    }
    Ok(())
}
