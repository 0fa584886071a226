mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::relu::relu;
use bcreid::tensor::Tensor;

// ANCHOR: inputs
/// Inputs that keep a finite-difference step away from the kink at 0.
fn away_from_zero(n: usize) -> Vec<f32> {
    noise(3, n).into_iter().map(|v| if v.abs() < 0.05 { v + 0.1f32.copysign(v) } else { v }).collect()
}
// ANCHOR_END: inputs

/// y and dx. With `in_place` the operation holds the only handle to x.
fn both(device: &Device, x: &[f32], dy: &[f32], in_place: bool) -> (Vec<f32>, Vec<f32>) {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(on::tensor(device, [x.len()], x));
    let mut key = x.clone();
    if in_place {
        key.value = Tensor::zeros(device, [1]).unwrap();
    }
    let y = relu(&mut tape, x).unwrap();
    let out = host(&y.value);
    let mut grads = tape.backward(vec![(y, on::tensor(device, [dy.len()], dy))]).unwrap();
    (out, host(&grads.take(&key).unwrap()))
}

// ANCHOR: gradient
#[test]
fn gradient() {
    on::each(|device| {
        let input = Input::new([3, 5, 7, 2], away_from_zero(210));
        Check::default().run(device, &[input], |t, v| relu(t, v[0].clone()));
    });
}
// ANCHOR_END: gradient

#[test]
fn the_derivative_at_zero_is_zero() {
    on::each_precision(|device| {
        let (y, dx) = both(device, &[-1.0, 0.0, 2.0], &[5.0; 3], false);
        assert_eq!((y, dx), (vec![0.0, 0.0, 2.0], vec![0.0, 0.0, 5.0]));
    });
}

/// NaN is no negative number: it shows in the output and lets its gradient through, in place or not, in whole
/// vector registers and behind them.
#[test]
fn nan_is_not_hidden() {
    on::each_precision(|device| {
        let [mut x, dy] = [1, 2].map(|seed| on::rounded(device, &noise(seed, 37)));
        for at in [0, 18, 36] {
            x[at] = f32::NAN;
        }
        for in_place in [true, false] {
            let (y, dx) = both(device, &x, &dy, in_place);
            for (y, x) in y.iter().zip(&x) {
                assert!(if x.is_nan() { y.is_nan() } else { *y == x.max(0.0) }, "relu({x}) = {y}");
            }
            for ((dx, dy), x) in dx.iter().zip(&dy).zip(&x) {
                assert_eq!(*dx, if x.is_nan() || *x > 0.0 { *dy } else { 0.0 }, "x {x}");
            }
        }
    });
}

#[test]
fn golden_values() {
    on::each_precision(|device| {
        let golden = golden::read("relu");
        for in_place in [false, true] {
            let (y, dx) = both(device, &golden["x"].values, &golden["dy"].values, in_place);
            assert_close("y", &y, &golden["y"].values, on::tolerance(device, 0.0));
            assert_close("dx", &dx, &golden["dx"].values, on::tolerance(device, 0.0));
        }
    });
}
