mod kernel;

use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::{add::add, relu::relu};
use bcreid::tensor::{Inventory, Params, StepValues, Tape, Tensor};

#[test]
fn gradient() {
    let inputs = [Input::noise([2, 3, 5, 7], 1), Input::noise([2, 3, 5, 7], 2)];
    Check::default().run(&Device::cpu(), &inputs, |t, v| add(t, v[0].clone(), v[1].clone()));
}

/// y = relu(x) + x: the gradient of x is the sum of both ways (residual fan-out), in every chunk of a large
/// tensor.
#[test]
fn fan_out_adds_both_gradients() {
    const N: usize = 40_009;
    let (values, dy) = (noise(1, N), noise(2, N));
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [N], &values).unwrap());
    let r = relu(&mut tape, x.clone()).unwrap();
    let y = add(&mut tape, r, x.clone()).unwrap();
    let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, [N], &dy).unwrap())]).unwrap();
    let sum: Vec<f32> = values.iter().zip(&dy).map(|(x, dy)| if *x > 0.0 { dy + dy } else { *dy }).collect();
    assert_eq!(grads.take(&x).unwrap().f32(), sum);
}

/// A parameter used twice in one step collects both gradients, and an unused one is cleared.
#[test]
fn shared_weights_add_and_unused_ones_are_cleared() {
    let device = Device::cpu();
    let mut inventory = Inventory::default();
    let w = inventory.add("w", [2]);
    let unused = inventory.add("unused", [2]);
    let mut params = Params::new(&device, &inventory).unwrap();
    params.get_mut(unused).grad.f32_mut().fill(f32::NAN);
    params.get_mut(w).grad.f32_mut().fill(f32::NAN);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let (w1, w2) = (tape.param(w), tape.param(w));
    let y = add(&mut tape, w1, w2).unwrap();
    tape.backward(vec![(y, Tensor::from_f32(&device, [2], &[1.0, 2.0]).unwrap())]).unwrap();
    assert_eq!(params.get(w).grad.f32(), [2.0, 4.0]);
    assert_eq!(params.get(unused).grad.f32(), [0.0, 0.0]);
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

/// The join of a residual block against PyTorch.
#[test]
fn golden_values() {
    let golden = golden::read("add");
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [2, 3, 5, 7], &golden["x"].values).unwrap());
    let r = relu(&mut tape, x.clone()).unwrap();
    let y = add(&mut tape, r, x.clone()).unwrap();
    golden::assert_close("y", y.value.f32(), &golden["y"].values, 1e-6);
    let dy = Tensor::from_f32(&device, [2, 3, 5, 7], &golden["dy"].values).unwrap();
    let mut grads = tape.backward(vec![(y, dy)]).unwrap();
    golden::assert_close("dx", grads.take(&x).unwrap().f32(), &golden["dx"].values, 1e-6);
}
