mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{ParamSpecs, Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::{add::add, relu::relu};
use bcreid::tensor::Tensor;

#[test]
fn gradient() {
    on::each(|device| {
        for shape in [[2, 3, 5, 7], [1, 1, 3, 4]] {
            let inputs = [Input::noise(shape, 1), Input::noise(shape, 2)];
            Check::default().run(device, &inputs, |t, v| add(t, v[0].clone(), v[1].clone()));
        }
    });
}

/// y = relu(x) + x, and dx, which is the sum of both ways (residual fan-out).
fn fan_out(device: &Device, x: &[f32], dy: &[f32]) -> [Vec<f32>; 2] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, [x.len()], x));
    let r = relu(&mut tape, x.clone()).unwrap();
    let y = add(&mut tape, r, x.clone()).unwrap();
    let out = host(&y.value);
    let mut grads = tape.backward(vec![(y, on::tensor(device, [dy.len()], dy))]).unwrap();
    [out, host(&grads.take(&x).unwrap())]
}

/// In every chunk of a large tensor and at the ends of packs. Twice a number is exact in bf16 too.
#[test]
fn fan_out_adds_both_gradients() {
    on::each_precision(|device| {
        for n in [40_009, 1, 8, 9] {
            let [x, dy] = [1, 2].map(|seed| on::rounded(device, &noise(seed, n)));
            let both = |values: &[f32]| -> Vec<f32> {
                x.iter().zip(values).map(|(x, v)| if *x > 0.0 { v + v } else { *v }).collect()
            };
            assert_eq!(fan_out(device, &x, &dy), [both(&x), both(&dy)], "{n} elements");
        }
    });
}

/// The join of a residual block against PyTorch.
#[test]
fn golden_values() {
    on::each_precision(|device| {
        let golden = golden::read("add");
        let [y, dx] = fan_out(device, &golden["x"].values, &golden["dy"].values);
        assert_close("y", &y, &golden["y"].values, on::tolerance(device, 1e-6));
        assert_close("dx", &dx, &golden["dx"].values, on::tolerance(device, 1e-6));
    });
}

/// Sums of different numbers, each rounded once: a and b stay apart.
#[test]
fn sums_are_rounded_once() {
    on::each_precision(|device| {
        for n in [1, 7, 8, 4096, 20_011] {
            let a = on::rounded(device, &noise(1, n));
            let b: Vec<f32> =
                noise(2, n).iter().enumerate().map(|(i, v)| v * 10f32.powi(i as i32 % 9 - 4)).collect();
            let b = on::rounded(device, &b);
            let mut params = Params::none(device);
            let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
            let [a_var, b_var] = [&a, &b].map(|values| tape.leaf(on::tensor(device, [n], values)));
            let y = add(&mut tape, a_var.clone(), b_var.clone()).unwrap();
            assert_eq!(host(&y.value), on::rounded(device, &on::sum(&a, &b)), "{n} elements");
            assert_eq!([host(&a_var.value), host(&b_var.value)], [a, b], "the inputs stay as they are");
        }
    });
}

/// A parameter used twice in one step collects both gradients, and an unused one is cleared.
#[test]
fn shared_weights_add_and_unused_ones_are_cleared() {
    on::each(|device| {
        let mut specs = ParamSpecs::default();
        let w = specs.add("w", [2]);
        let unused = specs.add("unused", [2]);
        let mut params = Params::new(device, &specs).unwrap();
        for id in [unused, w] {
            params.get_mut(id).grad.copy_from_host_f32(&[f32::NAN; 2]).unwrap();
        }
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let (w1, w2) = (tape.param(w), tape.param(w));
        let y = add(&mut tape, w1, w2).unwrap();
        tape.backward(vec![(y, Tensor::from_f32(device, [2], &[1.0, 2.0]).unwrap())]).unwrap();
        assert_eq!(host(&params.get(w).grad), [2.0, 4.0]);
        assert_eq!(host(&params.get(unused).grad), [0.0, 0.0]);
    });
}

#[test]
fn different_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let a = tape.leaf(Tensor::zeros(&device, [2, 3]).unwrap());
    let b = tape.leaf(Tensor::zeros(&device, [3, 2]).unwrap());
    let error = add(&mut tape, a, b).unwrap_err().to_string();
    assert!(error.contains("add") && error.contains("[2, 3]") && error.contains("[3, 2]"), "{error}");
}
