mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use bcreid::device::Device;
use bcreid::ops::dropout::dropout;
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

/// y and dx of one dropout.
fn both(seed: u64, step: u64, x: &[f32], dy: &[f32], d: usize, ratio: f32) -> (Vec<f32>, Vec<f32>) {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut values = StepValues::new(&device, seed).unwrap();
    values.set(step, 0.0, 0.0, 0.0).unwrap();
    let mut tape = Tape::new(&mut params, &values);
    let shape = [x.len() / d, d];
    let x = tape.leaf(Tensor::from_f32(&device, shape, x).unwrap());
    let y = dropout(&mut tape, x.clone(), ratio).unwrap();
    let out = y.value.to_host_f32().unwrap();
    let mut grads = tape.backward(vec![(y, Tensor::from_f32(&device, shape, dy).unwrap())]).unwrap();
    (out, grads.take(&x).unwrap().to_host_f32().unwrap())
}

/// The factors that multiply a matrix of m rows.
fn factors(seed: u64, step: u64, m: usize, d: usize, ratio: f32) -> Vec<f32> {
    let ones = vec![1.0; m * d];
    both(seed, step, &ones, &ones, d, ratio).0
}

#[test]
fn gradient() {
    let peaked = noise(2, 111).iter().map(|v| 10.0 * v.powi(5)).collect();
    for input in [Input::noise([3, 37], 1), Input::new([3, 37], peaked)] {
        Check::default().run(&Device::cpu(), &[input], |t, v| dropout(t, v[0].clone(), 0.5));
    }
}

#[test]
fn golden_values() {
    let golden = golden::read("dropout");
    for (name, ratio) in [("half", 0.5), ("paper", 0.9)] {
        let (y, dx) =
            both(0x0123_4567_89AB_CDEF, 70_001, &golden["x"].values, &golden["dy"].values, 37, ratio);
        assert_close("y", &y, &golden[&format!("{name}.y")].values, 1e-6);
        assert_close("dx", &dx, &golden[&format!("{name}.dx")].values, 1e-6);
    }
}

#[test]
fn an_element_is_kept_as_its_own_draw_says() {
    let (seed, step, d, ratio) = (0xFEED_0000_0042, 3, 31, 0.7f32);
    let scale = 1.0 / (1.0 - ratio);
    let expected: Vec<f32> = (0..4)
        .flat_map(|image| (0..d as u32).map(move |j| (image, j)))
        .map(|(image, j)| Philox::new(seed, step, image, RngStream::Dropout).uniform(j))
        .map(|draw| if draw >= ratio { scale } else { 0.0 })
        .collect();
    assert_eq!(factors(seed, step, 4, d, ratio), expected);
}

#[test]
fn rate_and_scaling() {
    for ratio in [0.1f32, 0.5, 0.9] {
        let factors = factors(1, 0, 32, 4096, ratio);
        let dropped = factors.iter().filter(|f| **f == 0.0).count() as f64 / factors.len() as f64;
        assert!((dropped - f64::from(ratio)).abs() < 0.005, "ratio {ratio}: {dropped} dropped");
        let mean = factors.iter().map(|&f| f64::from(f)).sum::<f64>() / factors.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "ratio {ratio}: the mean became {mean}");
        assert!(factors.iter().all(|&f| f == 0.0 || f == 1.0 / (1.0 - ratio)));
    }
}

#[test]
fn backward_uses_the_same_mask() {
    let ones = vec![1.0; 5 * 100];
    let (y, dx) = both(9, 12, &ones, &ones, 100, 0.5);
    assert_eq!(y, dx);
}

#[test]
fn masks_differ_by_seed_step_and_image() {
    let base = factors(1, 0, 2, 256, 0.5);
    assert_eq!(base, factors(1, 0, 2, 256, 0.5));
    assert_ne!(base, factors(2, 0, 2, 256, 0.5));
    assert_ne!(base, factors(1, 1, 2, 256, 0.5));
    assert_ne!(base[..256], base[256..]);
}

#[test]
fn the_mask_does_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| factors(5, 6, 13, 70, 0.9))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn a_dropped_infinity_is_zero() {
    let x = vec![f32::INFINITY; 64];
    let (y, _) = both(1, 0, &x, &x, 64, 0.5);
    assert!(y.contains(&0.0) && y.contains(&f32::INFINITY) && !y.iter().any(|v| v.is_nan()));
}

#[test]
fn identity_in_inference_and_at_ratio_zero() {
    let device = Device::cpu();
    let values = noise(1, 60);
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let x = tape.constant(Tensor::from_f32(&device, [3, 20], &values).unwrap());
    assert_eq!(dropout(&mut tape, x, 0.9).unwrap().value.f32(), values);
    let (y, dx) = both(1, 0, &values, &values, 20, 0.0);
    assert_eq!((&y, &dx), (&values, &values));
}

#[test]
fn wrong_ratios_and_shapes_are_refused() {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::zeros(&device, [2, 3]).unwrap());
    for ratio in [-0.1, 1.0, f32::NAN] {
        let error = dropout(&mut tape, x.clone(), ratio).unwrap_err().to_string();
        assert!(error.starts_with("dropout: ratio"), "{error}");
    }
    let x = tape.leaf(Tensor::zeros(&device, [2, 3, 1, 1]).unwrap());
    let error = dropout(&mut tape, x, 0.5).unwrap_err().to_string();
    assert!(error.contains("dropout") && error.contains("[2, 3, 1, 1]"), "{error}");
}
