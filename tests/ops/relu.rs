mod kernel;

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
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [3], &[-1.0, 0.0, 2.0]).unwrap());
    let y = relu(&mut tape, x.clone()).unwrap();
    assert_eq!(y.value.to_host_f32().unwrap(), [0.0, 0.0, 2.0]);
    let mut grads = tape.backward(vec![(y, Tensor::full(&device, [3], 5.0).unwrap())]).unwrap();
    assert_eq!(grads.take(&x).unwrap().to_host_f32().unwrap(), [0.0, 0.0, 5.0]);
}

/// NaN is no negative number: it shows in the output and lets its gradient through, in place or not, in whole
/// vector registers and behind them.
#[test]
fn nan_is_not_hidden() {
    let device = Device::cpu();
    let (mut values, dy) = (noise(1, 37), noise(2, 37));
    for at in [0, 18, 36] {
        values[at] = f32::NAN;
    }
    for in_place in [true, false] {
        let mut params = Params::none(&device);
        let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
        let x = tape.leaf(Tensor::from_f32(&device, [37], &values).unwrap());
        let mut key = x.clone();
        if in_place {
            key.value = Tensor::zeros(&device, [1]).unwrap();
        }
        let y = relu(&mut tape, x).unwrap();
        for (y, x) in y.value.f32().iter().zip(&values) {
            assert!(if x.is_nan() { y.is_nan() } else { *y == x.max(0.0) }, "relu({x}) = {y}");
        }
        let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, [37], &dy).unwrap())]).unwrap();
        let dx = grads.take(&key).unwrap();
        for ((dx, dy), x) in dx.f32().iter().zip(&dy).zip(&values) {
            assert_eq!(*dx, if x.is_nan() || *x > 0.0 { *dy } else { 0.0 }, "x {x}");
        }
    }
}

#[test]
fn golden_values() {
    let golden = golden::read("relu");
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [3, 5, 4, 7], &golden["x"].values).unwrap());
    let y = relu(&mut tape, x.clone()).unwrap();
    assert_eq!(y.value.f32(), golden["y"].values);
    let dy = Tensor::from_f32(&device, [3, 5, 4, 7], &golden["dy"].values).unwrap();
    let mut grads = tape.backward(vec![(y, dy)]).unwrap();
    assert_eq!(grads.take(&x).unwrap().f32(), golden["dx"].values);
}
