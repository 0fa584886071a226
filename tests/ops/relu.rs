use crate::golden;
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::relu::relu;
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

/// Inputs that keep a finite-difference step away from the kink at 0.
fn away_from_zero(n: usize) -> Vec<f32> {
    noise(3, n).into_iter().map(|v| if v.abs() < 0.05 { v + 0.1f32.copysign(v) } else { v }).collect()
}

#[test]
fn gradient() {
    Check::default().run(&[Input::new([3, 5, 7, 2], away_from_zero(210))], |t, v| relu(t, v[0].clone()));
}

#[test]
fn the_derivative_at_zero_is_zero() {
    let device = Device::cpu();
    let mut params = Params::new(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0));
    let x = tape.leaf(Tensor::from_f32(&device, [3], &[-1.0, 0.0, 2.0]));
    let y = relu(&mut tape, x.clone()).unwrap();
    assert_eq!(y.value.to_host_f32(), [0.0, 0.0, 2.0]);
    let mut grads = tape.backward(vec![(y, Tensor::full(&device, [3], 5.0))]).unwrap();
    assert_eq!(grads.take(&x).unwrap().to_host_f32(), [0.0, 0.0, 5.0]);
}

#[test]
fn golden_values() {
    let golden = golden::read("relu");
    let device = Device::cpu();
    let mut params = Params::new(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0));
    let x = tape.leaf(Tensor::from_f32(&device, [3, 5, 4, 7], &golden["x"].values));
    let y = relu(&mut tape, x.clone()).unwrap();
    assert_eq!(y.value.f32(), golden["y"].values);
    let dy = Tensor::from_f32(&device, [3, 5, 4, 7], &golden["dy"].values);
    let mut grads = tape.backward(vec![(y, dy)]).unwrap();
    assert_eq!(grads.take(&x).unwrap().f32(), golden["dx"].values);
}
