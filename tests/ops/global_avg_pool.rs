mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input};
use bcreid::device::Device;
use bcreid::ops::global_avg_pool::global_avg_pool;
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

#[test]
fn gradient() {
    for shape in [[2, 3, 5, 7], [1, 1, 1, 17], [3, 2, 1, 33]] {
        Check::default()
            .run(&Device::cpu(), &[Input::noise(shape, 1)], |t, v| global_avg_pool(t, v[0].clone()));
    }
}

#[test]
fn golden_values() {
    let golden = golden::read("global_avg_pool");
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [3, 8, 4, 37], &golden["x"].values).unwrap());
    let y = global_avg_pool(&mut tape, x.clone()).unwrap();
    assert_eq!(y.shape().dims(), golden["y"].shape);
    assert_close("y", y.value.f32(), &golden["y"].values, 1e-6);
    let seed = Tensor::from_f32(&device, y.shape(), &golden["dy"].values).unwrap();
    let mut grads = tape.backward(vec![(y, seed)]).unwrap();
    assert_close("dx", grads.take(&x).unwrap().f32(), &golden["dx"].values, 1e-7);
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let flat = tape.constant(Tensor::zeros(&device, [2, 3]).unwrap());
    let empty = tape.constant(Tensor::zeros(&device, [2, 0, 4, 3]).unwrap());
    for (x, words) in [(flat, "[2, 3]"), (empty, "[2, 0, 4, 3]")] {
        let error = global_avg_pool(&mut tape, x).unwrap_err().to_string();
        assert!(error.contains("global_avg_pool") && error.contains(words), "{error}");
    }
}
