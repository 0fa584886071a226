mod kernel;

use crate::golden::{self, Golden, assert_close};
use crate::gradient_check::noise;
use bcreid::device::Device;
use bcreid::ops::sgd::{Convention, Sgd, sgd};
use bcreid::tensor::{Inventory, ParamId, Params, Tensor};
use std::collections::HashMap;

const RATES: [f32; 6] = [0.1, 0.1, 0.1, 0.01, 0.01, 0.01];

fn solver(convention: Convention) -> Sgd {
    Sgd { momentum: 0.9, weight_decay: 0.05, convention }
}

/// The weight and the bias of the golden file.
fn golden_params(
    device: &Device,
    golden: &HashMap<String, Golden>,
) -> (Params, [(&'static str, ParamId); 2]) {
    let start = |name: &str| &golden[&format!("start.{name}")].values;
    let mut inventory = Inventory::default();
    let ids = ["weight", "bias"].map(|name| (name, inventory.add(name, [start(name).len()])));
    let mut params = Params::new(device, &inventory).unwrap();
    for ((name, id), (lr_mult, decay_mult)) in ids.into_iter().zip([(1.0, 1.0), (2.0, 0.0)]) {
        let param = params.get_mut(id);
        param.value.copy_from_host_f32(start(name)).unwrap();
        (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
    }
    (params, ids)
}

#[test]
fn golden_values() {
    let device = Device::cpu();
    let golden = golden::read("sgd");
    for (prefix, convention) in [("pytorch", Convention::PyTorch), ("caffe", Convention::Caffe)] {
        let (mut params, ids) = golden_params(&device, &golden);
        for (step, rate) in RATES.into_iter().enumerate() {
            let row = |key: String, n: usize| golden[&key].values[step * n..][..n].to_vec();
            for (name, id) in ids {
                let grad = &mut params.get_mut(id).grad;
                grad.copy_from_host_f32(&row(format!("grads.{name}"), grad.shape().len())).unwrap();
            }
            sgd(&mut params, &Tensor::full(&device, [1], rate).unwrap(), solver(convention)).unwrap();
            for (name, id) in ids {
                let value = params.get(id).value.f32();
                let expected = row(format!("{prefix}.{name}"), value.len());
                assert_close(&format!("{prefix} {name}, step {step}"), value, &expected, 2e-6);
            }
        }
    }
}

/// A parameter of `n` zeros.
fn one_param(device: &Device, n: usize) -> (Params, ParamId) {
    let mut inventory = Inventory::default();
    let id = inventory.add("w", [n]);
    (Params::new(device, &inventory).unwrap(), id)
}

/// The weight after each of six steps with gradient 1 from weight 0, without decay.
fn path(convention: Convention, rates: [f32; 6]) -> [f32; 6] {
    let device = Device::cpu();
    let (mut params, w) = one_param(&device, 1);
    params.get_mut(w).grad.f32_mut().fill(1.0);
    rates.map(|rate| {
        let solver = Sgd { momentum: 0.9, weight_decay: 0.0, convention };
        sgd(&mut params, &Tensor::full(&device, [1], rate).unwrap(), solver).unwrap();
        params.get(w).value.f32()[0]
    })
}

#[test]
fn the_conventions_differ_when_the_rate_drops() {
    let (pytorch, caffe) = (path(Convention::PyTorch, [0.1; 6]), path(Convention::Caffe, [0.1; 6]));
    assert_close("constant rate", &pytorch, &caffe, 1e-6);
    assert_eq!(pytorch[0], -0.1, "the first step is the gradient's own");
    let (pytorch, caffe) = (path(Convention::PyTorch, RATES), path(Convention::Caffe, RATES));
    assert_close("before the drop", &pytorch[..3], &caffe[..3], 1e-6);
    // v = 3.439 at the drop: PyTorch steps 0.01 v at once, Caffe 0.9 of its last step and 0.01.
    assert_close("pytorch", &[pytorch[2] - pytorch[3]], &[0.034_39], 1e-6);
    assert_close("caffe", &[caffe[2] - caffe[3]], &[0.9 * 0.271 + 0.01], 1e-6);
}

#[test]
fn a_frozen_parameter_keeps_value_and_momentum() {
    let device = Device::cpu();
    for convention in [Convention::PyTorch, Convention::Caffe] {
        let (mut params, id) = one_param(&device, 7);
        let param = params.get_mut(id);
        param.lr_mult = 0.0;
        for (seed, t) in [&mut param.value, &mut param.grad, &mut param.momentum].into_iter().enumerate() {
            t.copy_from_host_f32(&noise(seed as u64, 7)).unwrap();
        }
        sgd(&mut params, &Tensor::full(&device, [1], 0.1).unwrap(), solver(convention)).unwrap();
        let param = params.get(id);
        assert_eq!((param.value.f32(), param.momentum.f32()), (&noise(0, 7)[..], &noise(2, 7)[..]));
    }
}

/// More elements than one thread's chunk: each must move as it would alone.
#[test]
fn every_element_of_a_large_parameter_moves() {
    let device = Device::cpu();
    let n = 40_009;
    let (mut params, id) = one_param(&device, n);
    let param = params.get_mut(id);
    param.value.copy_from_host_f32(&noise(1, n)).unwrap();
    param.grad.copy_from_host_f32(&noise(2, n)).unwrap();
    param.momentum.copy_from_host_f32(&noise(3, n)).unwrap();
    sgd(&mut params, &Tensor::full(&device, [1], 0.1).unwrap(), solver(Convention::PyTorch)).unwrap();
    let expected: Vec<f32> = noise(1, n)
        .iter()
        .zip(noise(2, n))
        .zip(noise(3, n))
        .map(|((w, g), v)| w - 0.1 * (0.9 * v + (g + 0.05 * w)))
        .collect();
    assert_close("value", params.get(id).value.f32(), &expected, 1e-6);
    assert_eq!(params.get(id).grad.f32(), noise(2, n));
}

#[test]
fn wrong_constants_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let rate = Tensor::zeros(&device, [1]).unwrap();
    let good = solver(Convention::PyTorch);
    for (solver, word) in [
        (Sgd { momentum: 1.0, ..good }, "momentum 1"),
        (Sgd { momentum: f32::NAN, ..good }, "momentum NaN"),
        (Sgd { weight_decay: -0.1, ..good }, "weight decay -0.1"),
    ] {
        let error = sgd(&mut params, &rate, solver).unwrap_err().to_string();
        assert!(error.starts_with("sgd: ") && error.contains(word), "{error}");
    }
    let error = sgd(&mut params, &Tensor::zeros(&device, [2, 1]).unwrap(), good).unwrap_err().to_string();
    assert!(error.contains("rate") && error.contains("[2, 1]"), "{error}");
}
