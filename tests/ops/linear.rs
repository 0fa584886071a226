use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::element::DType;
use bcreid::ops::linear::linear;
use bcreid::tensor::Tensor;

#[test]
fn gradient() {
    on::each(|device| {
        let inputs = [Input::noise([3, 7], 1), Input::noise([5, 7], 2), Input::noise([5], 3)];
        Check::default().run(device, &inputs, |t, v| linear(t, v[0].clone(), v[1].clone(), v[2].clone()));
    });
}

/// y, dx, dw and dbias of one step; the gradients are added to `earlier` if there are any.
fn step(
    device: &Device,
    [m, c, k]: [usize; 3],
    [x, w, bias, dy]: [&[f32]; 4],
    earlier: Option<[&[f32]; 3]>,
) -> [Vec<f32>; 4] {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(device, [m, c], x).unwrap());
    let w = tape.leaf(Tensor::from_f32(device, [k, c], w).unwrap());
    let bias = tape.leaf(Tensor::from_f32(device, [k], bias).unwrap());
    let y = linear(&mut tape, x.clone(), w.clone(), bias.clone()).unwrap();
    let values = host(&y.value);
    let mut seeds = vec![(y, Tensor::from_f32(device, [m, k], dy).unwrap())];
    for (var, earlier) in [&x, &w, &bias].into_iter().zip(earlier.iter().flatten()) {
        seeds.push(on::earlier_gradient(&mut tape, var, earlier));
    }
    let mut grads = tape.backward(seeds).unwrap();
    let [dx, dw, dbias] = [x, w, bias].map(|v| host(&grads.take(&v).unwrap()));
    [values, dx, dw, dbias]
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("linear");
        let inputs = ["x", "w", "bias", "dy"].map(|name| golden[name].values.as_slice());
        let ours = step(device, [5, 33, 27], inputs, None);
        for (name, ours) in ["y", "dx", "dw", "dbias"].into_iter().zip(&ours) {
            assert_close(name, ours, &golden[name].values, 3e-6);
        }
    });
}

/// The classifier of a batch, odd sizes, rows of several chunks of a bias; gradients written and added. On a device
/// that computes in bf16, the classifier stays in f32, and cuBLAS may round its factors to TF32.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda_in_each_precision(|device| {
        for sizes in [[16, 64, 751], [1, 1, 1], [70, 5, 3], [3, 2048, 10], [301, 2, 64]] {
            let [m, c, k] = sizes;
            let inputs = [noise(1, m * c), noise(2, k * c), noise(3, k), noise(4, m * k)];
            let earlier = [noise(5, m * c), noise(6, k * c), noise(7, k)];
            let inputs = inputs.each_ref().map(Vec::as_slice);
            let ours = step(device, sizes, inputs, None);
            let cpu = step(&Device::cpu(), sizes, inputs, None);
            let added = step(device, sizes, inputs, Some(earlier.each_ref().map(Vec::as_slice)));
            // Sums of up to 2048 products of numbers below 1, whose errors add up like their root; TF32 keeps 11 bits.
            let depth = [c, k, m, m].map(|depth| (depth as f32).sqrt());
            let unit = if device.activations() == DType::F32 { 1e-6 } else { 1e-3 };
            for (i, name) in ["y", "dx", "dw", "dbias"].into_iter().enumerate() {
                let what = format!("{name} of {sizes:?}");
                let tolerance = depth[i] * if name == "dbias" { 1e-6 } else { unit };
                assert_close(&what, &ours[i], &cpu[i], tolerance);
                if i > 0 {
                    let want = on::sum(&earlier[i - 1], &ours[i]);
                    assert_close(&format!("{what}, added"), &added[i], &want, 1e-6 * depth[i]);
                }
            }
        }
    });
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let [m, c, k] = [16, 2048, 751];
    let (x, w, bias, dy) = (noise(1, m * c), noise(2, k * c), noise(3, k), noise(4, m * k));
    let [one, others @ ..] = [1, 2, 3, 8].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| step(&Device::cpu(), [m, c, k], [&x, &w, &bias, &dy], None))
    });
    assert!(others.iter().all(|other| *other == one));
}

/// Without a bias the output is that of a bias of zeros, and nothing of memory that is used again.
#[test]
fn the_bias_may_be_absent() {
    on::each(|device| {
        let inputs = [Input::noise([3, 7], 1), Input::noise([5, 7], 2)];
        Check::default().run(device, &inputs, |t, v| linear(t, v[0].clone(), v[1].clone(), None));
        let (m, c, k) = (9, 33, 27);
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let x = tape.constant(Tensor::from_f32(device, [m, c], &noise(1, m * c)).unwrap());
        let w = tape.constant(Tensor::from_f32(device, [k, c], &noise(2, k * c)).unwrap());
        let zeros = tape.constant(Tensor::zeros(device, [k]).unwrap());
        let with = host(&linear(&mut tape, x.clone(), w.clone(), zeros).unwrap().value);
        drop(Tensor::full(device, [m, k], 1e6).unwrap());
        let without = host(&linear(&mut tape, x, w, None).unwrap().value);
        assert_close("y", &without, &with, 1e-6);
    });
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
