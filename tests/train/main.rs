//! Training against PyTorch: 20 steps of a slim ResNet with both losses, from the same initial weights, on the same
//! batches, with the same dropout masks (`tests/golden/train.py`); and one step from a trained network, four digits
//! sharper ([`one_step`]). The layers of an embedding by themselves ([`embedding`]).

mod embedding;
#[path = "step.rs"]
mod one_step;

use bcreid::autograd::{Params, StepValues};
use bcreid::config::{Config, Gradient, Normalization, Wiring};
use bcreid::data::Batch;
use bcreid::device::{Device, Precision};
use bcreid::model::Model;
use bcreid::ops::batch_contrastive::Term;
use bcreid::optim::Optimizer;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::train::schedule::{self, Scheduled};
use bcreid::train::step::{optimizer, step};
use bcreid::weights::{TensorFile, read_tensors};

const SEED: u64 = 11;
const STEPS: u64 = 20;
const BATCH: usize = 8;
const CLASSES: usize = 5;
const HEIGHT: usize = 128;
const WIDTH: usize = 64;
const BLOCK: usize = 16;

fn file() -> TensorFile {
    let path = format!("{}/tests/golden/train.safetensors", env!("CARGO_MANIFEST_DIR"));
    read_tensors(path.as_ref()).unwrap()
}

fn golden(name: &str) -> Vec<f32> {
    file().tensor(name).unwrap().f32().unwrap().into_owned()
}

/// |ours - golden| <= share * |golden|, in Euclidean length over the values that the golden file has.
#[track_caller]
fn assert_alike(what: &str, ours: impl Iterator<Item = f32>, golden: &[f32], share: f64) {
    let (mut apart, mut length) = (0.0, 0.0);
    for (a, &b) in ours.zip(golden) {
        apart += (f64::from(a) - f64::from(b)).powi(2);
        length += f64::from(b).powi(2);
    }
    assert!(apart.sqrt() <= share * length.sqrt(), "{what}: off by {:.1e}", (apart / length).sqrt());
}

fn config() -> Config {
    let settings = [
        "model.arch=slim",
        "model.width=16",
        "model.depths=[1, 1, 1, 1]",
        "model.dropout=0.5",
        "loss.batch_contrastive.tau=1",
        "loss.batch_contrastive.reduction=sum",
        "run.seed=11",
    ];
    Config::resolve(None, &settings.map(String::from)).unwrap()
}

/// The batch of step `number`: each identity is a pattern of coloured blocks, each image the pattern and noise.
fn batch(device: &Device, number: u64) -> Batch {
    let labels: Vec<usize> = (0..BATCH).map(|i| (number as usize + i * i) % CLASSES).collect();
    let noise = Philox::new(SEED, number, 0, RngStream::Test);
    let mut pixels = Vec::with_capacity(BATCH * HEIGHT * WIDTH * 3);
    for &label in &labels {
        let pattern = Philox::new(SEED, 0, 1 + label as u64, RngStream::Test);
        for (y, x, c) in
            (0..HEIGHT).flat_map(|y| (0..WIDTH).flat_map(move |x| (0..3).map(move |c| (y, x, c))))
        {
            let block = (y / BLOCK * (WIDTH / BLOCK) + x / BLOCK) * 3 + c;
            pixels.push(2.0 * pattern.uniform(block as u32) + noise.uniform(pixels.len() as u32) - 1.5);
        }
    }
    let labels: Vec<i32> = labels.into_iter().map(|label| label as i32).collect();
    Batch {
        step: number,
        pixels: Tensor::activations(device, [BATCH, HEIGHT, WIDTH, 3], &pixels).unwrap(),
        labels: Tensor::from_i32(device, [BATCH], &labels).unwrap(),
        images: Vec::new(),
    }
}

/// The velocity of each parameter.
fn velocities<'a>(optimizer: &'a dyn Optimizer, params: &Params) -> Vec<&'a Tensor> {
    optimizer.state(params).into_iter().map(|(_, velocity)| velocity).collect()
}

fn losses_equal_pytorchs(name: &str, config: &Config, lr: f32, lambda: f32) {
    let device = Device::cpu();
    let (params, optimizer) = losses_are_pytorchs(&device, 1e-4, name, config, lr, lambda);
    // The script leaves out momenta that rounding decides.
    let sound = params.params().iter().zip(velocities(&*optimizer, &params)).filter_map(|(p, velocity)| {
        let what = format!("{name}.momentum.{}", p.name);
        file().get(&what).map(|golden| {
            assert_alike(&what, velocity.f32().iter().copied(), &golden.f32().unwrap(), 5e-2);
        })
    });
    assert!(sound.count() > params.params().len() * 4 / 5);
    for buffer in params.buffers() {
        let what = format!("{name}.state.{}", buffer.name);
        assert_alike(&what, buffer.value.f32().iter().copied(), &golden(&what), 1e-4);
    }
}

/// Trains, and compares both losses of each step with PyTorch's in f32.
fn losses_are_pytorchs(
    device: &Device,
    tolerance: f32,
    name: &str,
    config: &Config,
    lr: f32,
    lambda: f32,
) -> (Params, Box<dyn Optimizer + Send>) {
    let (model, mut params) = Model::new(config, CLASSES, device).unwrap();
    let mut optimizer = optimizer(&params, config).unwrap();
    let mut values = StepValues::new(device, SEED).unwrap().with_scalars(&schedule::SCALARS).unwrap();
    let (softmax, contrastive) = (golden(&format!("{name}.softmax")), golden(&format!("{name}.contrastive")));
    for number in 0..STEPS {
        values.set(number, &Scheduled { lr, lambda, center_rate: 0.5 }.scalars()).unwrap();
        let measured =
            step(&model, &mut params, &mut *optimizer, &values, batch(device, number), config).unwrap();
        let terms = measured.terms.to_host_f32().unwrap();
        let ours =
            terms[Term::Positive as usize] + terms[Term::Hinge as usize] + terms[Term::Center as usize];
        let at = number as usize;
        for (what, ours, golden) in [
            ("softmax", measured.softmax.to_host_f32().unwrap()[0], softmax[at]),
            ("batch-contrastive", ours, contrastive[at]),
        ] {
            let relative = (ours - golden).abs() / golden.abs();
            assert!(
                relative < tolerance,
                "{name}, step {number}, {what}: {ours}, PyTorch {golden} ({relative:.1e})"
            );
        }
    }
    (params, optimizer)
}

/// bf16 has 8 significant bits. The losses differ from those in f32 by at most 3 % for twenty steps.
#[test]
fn bf16_stays_beside_f32() {
    losses_are_pytorchs(&Device::cpu_in(Precision::Bf16), 3e-2, "torchvision", &config(), 3e-5, 0.1);
}

#[test]
fn torchvision_wiring() {
    losses_equal_pytorchs("torchvision", &config(), 3e-5, 0.1);
}

#[test]
fn caffe_wiring() {
    let mut config = config();
    config.model.wiring = Wiring::Caffe;
    losses_equal_pytorchs("caffe", &config, 3e-5, 0.1);
}

#[test]
fn exact_gradient() {
    let mut config = config();
    config.loss.batch_contrastive.gradient = Gradient::Exact;
    losses_equal_pytorchs("exact", &config, 3e-5, 0.1);
}

#[test]
fn frozen_statistics() {
    let mut config = config();
    config.solver.batchnorm = Normalization::Frozen;
    losses_equal_pytorchs("frozen", &config, 0.002, 0.3);
}
