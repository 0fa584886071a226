mod kernel;

use crate::golden::{self, Golden, assert_close};
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::autograd::{Param, ParamId, ParamSpecs, Params};
use bcreid::device::Device;
use bcreid::element::Shape;
use bcreid::ops::sgd::{Convention, Sgd, Velocities, sgd};
use bcreid::tensor::Tensor;
use std::collections::HashMap;

const RATES: [f32; 6] = [0.1, 0.1, 0.1, 0.01, 0.01, 0.01];

/// The three kinds of momentum with their names in the golden file.
const KINDS: [(&str, Convention, bool); 3] = [
    ("pytorch", Convention::PyTorch, false),
    ("nesterov", Convention::PyTorch, true),
    ("caffe", Convention::Caffe, false),
];

fn solver(convention: Convention, nesterov: bool) -> Sgd {
    Sgd { momentum: 0.9, weight_decay: 0.05, convention, nesterov }
}

/// The weight and the bias of the golden file.
pub fn golden_params(
    device: &Device,
    golden: &HashMap<String, Golden>,
) -> (Params, [(&'static str, ParamId); 2]) {
    let start = |name: &str| &golden[&format!("start.{name}")].values;
    let mut specs = ParamSpecs::default();
    let ids = ["weight", "bias"].map(|name| (name, specs.add(name, [start(name).len()])));
    let mut params = Params::new(device, &specs).unwrap();
    for ((name, id), (lr_mult, decay_mult)) in ids.into_iter().zip([(1.0, 1.0), (2.0, 0.0)]) {
        let param = params.get_mut(id);
        param.load(start(name)).unwrap();
        (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
    }
    (params, ids)
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("sgd");
        for (prefix, convention, nesterov) in KINDS {
            let (mut params, ids) = golden_params(device, &golden);
            let mut velocities = Velocities::new(&params).unwrap();
            for (step, rate) in RATES.into_iter().enumerate() {
                let row = |key: String, n: usize| golden[&key].values[step * n..][..n].to_vec();
                for (name, id) in ids {
                    let grad = &mut params.get_mut(id).grad;
                    grad.copy_from_host_f32(&row(format!("grads.{name}"), grad.shape().len())).unwrap();
                }
                let rate = Tensor::full(device, [1], rate).unwrap();
                sgd(&mut params, &mut velocities, &rate, solver(convention, nesterov)).unwrap();
                for (name, id) in ids {
                    let value = host(&params.get(id).value);
                    let expected = row(format!("{prefix}.{name}"), value.len());
                    assert_close(&format!("{prefix} {name}, step {step}"), &value, &expected, 2e-6);
                }
            }
        }
    });
}

/// A parameter of `n` zeros.
fn one_param(device: &Device, n: usize) -> (Params, ParamId) {
    let mut specs = ParamSpecs::default();
    let id = specs.add("w", [n]);
    (Params::new(device, &specs).unwrap(), id)
}

/// The weight after each of six steps with gradient 1 from weight 0, without decay.
fn path(device: &Device, convention: Convention, rates: [f32; 6]) -> [f32; 6] {
    let (mut params, w) = one_param(device, 1);
    let mut velocities = Velocities::new(&params).unwrap();
    params.get_mut(w).grad.copy_from_host_f32(&[1.0]).unwrap();
    rates.map(|rate| {
        let solver = Sgd { momentum: 0.9, weight_decay: 0.0, convention, nesterov: false };
        sgd(&mut params, &mut velocities, &Tensor::full(device, [1], rate).unwrap(), solver).unwrap();
        host(&params.get(w).value)[0]
    })
}

#[test]
fn the_conventions_differ_when_the_learning_rate_drops() {
    on::each(|device| {
        let paths = |rates| [Convention::PyTorch, Convention::Caffe].map(|c| path(device, c, rates));
        let [pytorch, caffe] = paths([0.1; 6]);
        assert_close("constant rate", &pytorch, &caffe, 1e-6);
        assert_eq!(pytorch[0], -0.1, "the first step is the gradient's own");
        let [pytorch, caffe] = paths(RATES);
        assert_close("before the drop", &pytorch[..3], &caffe[..3], 1e-6);
        // v = 3.439 at the drop: PyTorch steps 0.01 v at once, Caffe 0.9 of its last step and 0.01.
        assert_close("pytorch", &[pytorch[2] - pytorch[3]], &[0.034_39], 1e-6);
        assert_close("caffe", &[caffe[2] - caffe[3]], &[0.9 * 0.271 + 0.01], 1e-6);
    });
}

/// Overwrites value, gradient and velocity by noise, the gradient in its own type.
fn fill(device: &Device, param: &mut Param, velocity: &mut Tensor, seed: u64) -> [Vec<f32>; 3] {
    let n = param.value.shape().len();
    let [value, grad, start] = [0, 1, 2].map(|i| noise(3 * seed + i, n));
    param.load(&value).unwrap();
    velocity.copy_from_host_f32(&start).unwrap();
    [value, on::set_gradient(device, param, &grad), start]
}

/// Parameters of one piece of a launch and of many, of odd sizes, one that is frozen, one without decay; filters, which
/// in bf16 have gradients and a copy of that type, and filters of images, whose copy is wider. Every element moves as
/// it would alone, the copy with it, gradients stay.
#[test]
fn every_parameter_moves_on_its_own() {
    const SIZES: [(&[usize], f32, f32); 12] = [
        (&[1], 1.0, 1.0),
        (&[7], 2.0, 0.0),
        (&[5, 3, 3, 3], 0.5, 1.0),
        (&[3, 3, 1, 5], 0.5, 1.0),
        (&[4096], 1.0, 0.5),
        (&[100], 0.0, 1.0),
        (&[8, 1, 1, 9], 0.0, 1.0),
        (&[4097], 1.0, 1.0),
        (&[16, 3, 3, 64], 10.0, 0.0),
        (&[64, 7, 7, 3], 1.0, 1.0),
        (&[33], 1.0, 1.0),
        (&[40_009], 1.0, 1.0),
    ];
    on::each_precision(|device| {
        for (kind, convention, nesterov) in KINDS {
            let mut specs = ParamSpecs::default();
            let ids = SIZES.map(|(shape, ..)| specs.add("w", Shape::try_from(shape).unwrap()));
            let mut params = Params::new(device, &specs).unwrap();
            let mut velocities = Velocities::new(&params).unwrap();
            let start: Vec<[Vec<f32>; 3]> = (ids.iter().zip(SIZES).enumerate())
                .map(|(seed, (&id, (_, lr_mult, decay_mult)))| {
                    let param = params.get_mut(id);
                    (param.lr_mult, param.decay_mult) = (lr_mult, decay_mult);
                    fill(device, param, &mut velocities.each_mut()[seed], seed as u64)
                })
                .collect();
            let solver = solver(convention, nesterov);
            sgd(&mut params, &mut velocities, &Tensor::full(device, [1], 0.1).unwrap(), solver).unwrap();
            let after = velocities.each().iter().map(host);
            for (((id, (shape, lr_mult, decay_mult)), [w, g, v]), velocity) in
                ids.into_iter().zip(SIZES).zip(start).zip(after)
            {
                let (rate, decay) = (0.1 * lr_mult, solver.weight_decay * decay_mult);
                let moved = |((w, g), v): ((&f32, &f32), &f32)| {
                    let own = g + decay * w;
                    match convention {
                        _ if lr_mult == 0.0 => (*w, *v),
                        Convention::PyTorch => {
                            let v = solver.momentum * v + own;
                            (w - rate * if nesterov { own + solver.momentum * v } else { v }, v)
                        }
                        Convention::Caffe => {
                            let v = solver.momentum * v + rate * own;
                            (w - v, v)
                        }
                    }
                };
                let (values, velocities): (Vec<f32>, Vec<f32>) = w.iter().zip(&g).zip(&v).map(moved).unzip();
                let what = |name: &str| format!("{name} of {shape:?}, {kind}");
                let param = params.get(id);
                // A GPU fuses multiplications with additions: a rounding less.
                let tolerance = if lr_mult == 0.0 { 0.0 } else { 1e-6 };
                assert_close(&what("value"), &host(&param.value), &values, tolerance);
                assert_close(&what("velocity"), &velocity, &velocities, tolerance);
                let c = param.value.shape().last();
                assert_eq!(on::without_padding(&param.grad, c), g, "{}", what("gradient"));
                on::check_copy(device, param, &what("compute copy"));
            }
        }
    });
}

#[test]
fn wrong_constants_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut velocities = Velocities::new(&params).unwrap();
    let rate = Tensor::zeros(&device, [1]).unwrap();
    let good = solver(Convention::PyTorch, false);
    for (solver, word) in [
        (Sgd { momentum: 1.0, ..good }, "momentum 1"),
        (Sgd { momentum: f32::NAN, ..good }, "momentum NaN"),
        (Sgd { weight_decay: -0.1, ..good }, "weight decay -0.1"),
        (Sgd { nesterov: true, momentum: 0.0, ..good }, "momentum above 0"),
        (solver(Convention::Caffe, true), "PyTorch's convention"),
    ] {
        let error = sgd(&mut params, &mut velocities, &rate, solver).unwrap_err().to_string();
        assert!(error.starts_with("sgd: ") && error.contains(word), "{error}");
    }
    let rate = Tensor::zeros(&device, [2, 1]).unwrap();
    let error = sgd(&mut params, &mut velocities, &rate, good).unwrap_err().to_string();
    assert!(error.contains("rate") && error.contains("[2, 1]"), "{error}");
}
