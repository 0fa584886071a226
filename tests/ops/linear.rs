use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::linear::linear;
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

#[test]
fn gradient() {
    let inputs = [Input::noise([3, 7], 1), Input::noise([5, 7], 2), Input::noise([5], 3)];
    Check::default().run(&Device::cpu(), &inputs, |t, v| linear(t, v[0].clone(), v[1].clone(), v[2].clone()));
}

/// y, dx, dw and dbias of one step.
fn step([m, c, k]: [usize; 3], [x, w, bias, dy]: [&[f32]; 4]) -> [Vec<f32>; 4] {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(&device, [m, c], x).unwrap());
    let w = tape.leaf(Tensor::from_f32(&device, [k, c], w).unwrap());
    let bias = tape.leaf(Tensor::from_f32(&device, [k], bias).unwrap());
    let y = linear(&mut tape, x.clone(), w.clone(), bias.clone()).unwrap();
    let values = y.value.to_host_f32().unwrap();
    let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, [m, k], dy).unwrap())]).unwrap();
    let [dx, dw, dbias] = [x, w, bias].map(|v| grads.take(&v).unwrap().to_host_f32().unwrap());
    [values, dx, dw, dbias]
}

#[test]
fn golden_values() {
    let golden = golden::read("linear");
    let inputs = ["x", "w", "bias", "dy"].map(|name| golden[name].values.as_slice());
    let ours = step([5, 33, 27], inputs);
    for (name, ours) in ["y", "dx", "dw", "dbias"].into_iter().zip(&ours) {
        assert_close(name, ours, &golden[name].values, 3e-6);
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let [m, c, k] = [16, 2048, 751];
    let (x, w, bias, dy) = (noise(1, m * c), noise(2, k * c), noise(3, k), noise(4, m * k));
    let [one, three] = [1, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step([m, c, k], [&x, &w, &bias, &dy]))
    });
    assert!(one == three);
}

#[test]
fn wrong_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    for [x, w, b] in [[[2, 3], [5, 4], [5, 1]], [[2, 3], [5, 3], [4, 1]]] {
        let [x, w] = [x, w].map(|shape| tape.constant(Tensor::zeros(&device, shape).unwrap()));
        let bias = tape.constant(Tensor::zeros(&device, [b[0]]).unwrap());
        let error = linear(&mut tape, x, w, bias).unwrap_err().to_string();
        assert!(error.contains("linear") && error.contains("[2, 3]") && error.contains("[K, C]"), "{error}");
    }
}
