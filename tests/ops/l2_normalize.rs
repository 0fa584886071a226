mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::l2_normalize::l2_normalize;
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

fn both(shape: [usize; 2], x: &[f32], dy: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, shape, x).unwrap());
    let y = l2_normalize(&mut tape, x.clone()).unwrap();
    let out = y.value.to_host_f32().unwrap();
    let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, shape, dy).unwrap())]).unwrap();
    (out, grads.take(&x).unwrap().to_host_f32().unwrap())
}

#[test]
fn gradient() {
    let peaked = noise(2, 65).iter().map(|v| 5.0 * v.powi(5)).collect();
    for input in [Input::noise([5, 13], 1), Input::new([5, 13], peaked), Input::new([2, 9], vec![0.5; 18])] {
        Check::default().run(&Device::cpu(), &[input], |t, v| l2_normalize(t, v[0].clone()));
    }
}

/// Includes the zero row and one below the lower bound, where the gradient is dy / 1e-12.
#[test]
fn golden_values() {
    let golden = golden::read("l2_normalize");
    let (y, dx) = both([6, 19], &golden["x"].values, &golden["dy"].values);
    assert_close("y", &y, &golden["y"].values, 1e-6);
    // A row's gradient scales with 1 / ||x||, so each row is compared in its own unit.
    for (row, (ours, golden)) in dx.chunks(19).zip(golden["dx"].values.chunks(19)).enumerate() {
        let unit = golden.iter().fold(0.0f32, |a, v| a.max(v.abs()));
        let in_units = |values: &[f32]| values.iter().map(|v| v / unit).collect::<Vec<_>>();
        assert_close(&format!("dx, row {row}"), &in_units(ours), &in_units(golden), 1e-6);
    }
}

#[test]
fn rows_have_unit_length() {
    let x: Vec<f32> = noise(3, 7 * 2048).iter().enumerate().map(|(i, v)| v * (i % 7 + 1) as f32).collect();
    let (y, _) = both([7, 2048], &x, &x);
    for row in y.chunks(2048) {
        let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-6, "{length}");
    }
}

#[test]
fn the_gradient_is_tangent() {
    let (x, dy) = (noise(4, 64), noise(5, 64));
    let (_, dx) = both([1, 64], &x, &dy);
    let radial: f64 = dx.iter().zip(&x).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    assert!(radial.abs() < 1e-6, "{radial}");
}

#[test]
fn the_zero_vector_stays_zero_with_a_finite_gradient() {
    let (y, dx) = both([1, 4], &[0.0; 4], &[1.0, -2.0, 0.0, 0.5]);
    assert_eq!(y, [0.0; 4]);
    assert_close("dx", &dx, &[1e12, -2e12, 0.0, 5e11], 1e-6);
}

#[test]
fn lengths_whose_square_leaves_f32_are_handled() {
    let (y, _) = both([2, 2], &[3e30, 4e30, 3e-11, 4e-11], &[0.0; 4]);
    assert_close("y", &y, &[0.6, 0.8, 0.6, 0.8], 1e-6);
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    for t in [Tensor::zeros(&device, [4]).unwrap(), Tensor::zeros(&device, [0, 4]).unwrap()] {
        let shape = t.shape().to_string();
        let x = tape.leaf(t);
        let error = l2_normalize(&mut tape, x).unwrap_err().to_string();
        assert!(error.contains("l2_normalize") && error.contains(&shape), "{error}");
    }
}
