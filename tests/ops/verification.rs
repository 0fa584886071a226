pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::verification::{pair_labels, squared_differences};
use bcreid::tensor::Tensor;

/// y, and dx after `earlier` was in it.
fn run(
    device: &Device,
    shape: [usize; 2],
    x: &[f32],
    dy: &[f32],
    earlier: Option<&[f32]>,
) -> (Vec<f32>, Vec<f32>) {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let x = tape.leaf(Tensor::from_f32(device, shape, x).unwrap());
    let y = squared_differences(&mut tape, x.clone()).unwrap();
    assert_eq!(y.shape().dims(), [shape[0] / 2, shape[1]]);
    let value = host(&y.value);
    let dy = Tensor::from_f32(device, [shape[0] / 2, shape[1]], dy).unwrap();
    let mut seeds = vec![(y, dy)];
    seeds.extend(earlier.map(|earlier| on::earlier_gradient(&mut tape, &x, earlier)));
    let mut grads = tape.backward(seeds).unwrap();
    (value, host(&grads.take(&x).unwrap()))
}

fn labels(device: &Device, labels: &[i32]) -> Vec<i32> {
    let mut params = Params::none(device);
    let tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let labels = Tensor::from_i32(device, [labels.len()], labels).unwrap();
    pair_labels(&tape, &labels).unwrap().to_host_i32().unwrap()
}

#[test]
fn gradient() {
    on::each(|device| {
        for [m, d] in [[2, 1], [6, 5], [4, 8]] {
            let peaked = noise(2, m * d).iter().map(|v| 6.0 * v.powi(3)).collect();
            for values in [noise(3, m * d), peaked] {
                let input = Input::new([m, d], values);
                Check::default().run(device, &[input], |t, v| squared_differences(t, v[0].clone()));
            }
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("verification");
        let get = |name: &str| &golden[name].values;
        let (y, dx) = run(device, [10, 7], get("x"), get("dy"), None);
        assert_close("y", &y, get("y"), 1e-6);
        assert_close("dx", &dx, get("dx"), 1e-6);
        assert_eq!(labels(device, &golden["labels"].i32()), golden["same"].i32());
    });
}

/// Halves that begin at a multiple of 16 bytes, and others; both devices round alike.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for [m, d] in [[2, 1], [6, 5], [10, 7], [16, 64], [96, 2048], [514, 3]] {
            let (x, dy, earlier) = (noise(1, m * d), noise(2, m * d / 2), noise(5, m * d));
            let [ours, cpu] = [device, &Device::cpu()].map(|on| run(on, [m, d], &x, &dy, Some(&earlier)));
            assert_close("y", &ours.0, &cpu.0, 1e-6);
            assert_close("dx", &ours.1, &cpu.1, 1e-6);
            let wrong: Vec<i32> = (0..m as i32).map(|i| i * i % 3).collect();
            assert_eq!(labels(device, &wrong), labels(&Device::cpu(), &wrong));
        }
    });
}

#[test]
fn the_pairs_are_row_i_and_row_i_plus_half() {
    on::each(|device| {
        let (y, dx) = run(device, [4, 1], &[1.0, 2.0, 4.0, 7.0], &[1.0, 10.0], None);
        assert_eq!(y, [9.0, 25.0]);
        assert_eq!(dx, [-6.0, -100.0, 6.0, 100.0]);
        assert_eq!(labels(device, &[5, -1, 5, 1]), [1, 0]);
    });
}

#[test]
fn an_odd_batch_is_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let check = |error: bcreid::Error, word: &str| {
        let error = error.to_string();
        assert!(error.starts_with("verification: ") && error.contains(word), "{error}");
    };
    let x = tape.leaf(Tensor::zeros(&device, [3, 2]).unwrap());
    check(squared_differences(&mut tape, x).unwrap_err(), "3 images");
    let x = tape.leaf(Tensor::zeros(&device, [4]).unwrap());
    check(squared_differences(&mut tape, x).unwrap_err(), "[4]");
    let labels = |labels: &[i32]| Tensor::from_i32(&device, [labels.len()], labels).unwrap();
    check(pair_labels(&tape, &labels(&[1, 2, 3])).unwrap_err(), "3 images");
    check(pair_labels(&tape, &labels(&[])).unwrap_err(), "empty");
    check(pair_labels(&tape, &Tensor::zeros(&device, [4]).unwrap()).unwrap_err(), "i32");
}
