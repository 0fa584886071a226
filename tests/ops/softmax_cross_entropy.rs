pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use bcreid::Result;
use bcreid::device::Device;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::tensor::{Params, StepValues, Tape, Tensor};

/// The loss, and the gradient of `dy` times the loss.
fn both(shape: [usize; 2], logits: &[f32], labels: &[i32], dy: f32) -> Result<(f32, Vec<f32>)> {
    let device = Device::cpu();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let z = tape.leaf(Tensor::from_f32(&device, shape, logits).unwrap());
    let labels = Tensor::from_i32(&device, [labels.len()], labels).unwrap();
    let loss = softmax_cross_entropy(&mut tape, z.clone(), &labels)?;
    let value = loss.value.f32()[0];
    let mut grads = tape.backward(vec![(loss, Tensor::from_f32(&device, [1], &[dy]).unwrap())])?;
    Ok((value, grads.take(&z).unwrap().to_host_f32().unwrap()))
}

#[test]
fn gradient() {
    let labels = [3, 0, 6, 3, 2];
    let flat = noise(1, 35).iter().map(|v| 0.01 * v).collect();
    let peaked = noise(2, 35).iter().map(|v| 30.0 * v.powi(3)).collect();
    for values in [flat, noise(3, 35), peaked] {
        Check::default().run(&Device::cpu(), &[Input::new([5, 7], values)], |t, v| {
            let labels = Tensor::from_i32(&t.device(), [5], &labels).unwrap();
            softmax_cross_entropy(t, v[0].clone(), &labels)
        });
    }
}

#[test]
fn golden_values() {
    let golden = golden::read("softmax_cross_entropy");
    for name in ["flat", "peaked", "huge"] {
        let get = |what: &str| &golden[&format!("{name}.{what}")];
        let logits = get("logits");
        let shape = [logits.shape[0], logits.shape[1]];
        let (loss, dlogits) = both(shape, &logits.values, &golden["labels"].i32(), 1.75).unwrap();
        assert_close(name, &[loss], &get("loss").values, 1e-6);
        assert_close(name, &dlogits, &get("dlogits").values, 1e-6);
    }
}

#[test]
fn uniform_logits_cost_the_logarithm_of_the_classes() {
    let (loss, _) = both([2, 751], &[3.0; 2 * 751], &[0, 750], 1.0).unwrap();
    assert!((loss - 751f32.ln()).abs() < 1e-6, "{loss}");
}

#[test]
fn huge_logits_stay_finite() {
    let (loss, dz) = both([1, 3], &[1e4, -1e4, 0.0], &[1], 1.0).unwrap();
    assert_eq!((loss, dz), (2e4, vec![1.0, -1.0, 0.0]));
}

#[test]
fn one_class_costs_nothing() {
    let (loss, dz) = both([3, 1], &[5.0, -5.0, 1e4], &[0; 3], 1.0).unwrap();
    assert_eq!((loss, dz), (0.0, vec![0.0; 3]));
}

#[test]
fn the_loss_is_the_same_in_inference() {
    let device = Device::cpu();
    let logits = noise(4, 12);
    let mut params = Params::none(&device);
    let mut tape = Tape::no_grad(&mut params).unwrap();
    let z = tape.constant(Tensor::from_f32(&device, [3, 4], &logits).unwrap());
    let labels = Tensor::from_i32(&device, [3], &[0, 3, 1]).unwrap();
    let loss = softmax_cross_entropy(&mut tape, z, &labels).unwrap().value.f32()[0];
    assert_eq!(loss, both([3, 4], &logits, &[0, 3, 1], 1.0).unwrap().0);
}

#[test]
fn a_nan_logit_shows_in_the_loss() {
    assert!(both([1, 3], &[0.0, f32::NAN, 0.0], &[0], 1.0).unwrap().0.is_nan());
}

#[test]
fn wrong_labels_are_refused() {
    for (labels, word) in [(vec![0, 5], "label 5 of image 1"), (vec![-1, 0], "label -1"), (vec![0], "[1]")] {
        let error = both([2, 5], &[0.0; 10], &labels, 1.0).unwrap_err().to_string();
        assert!(error.starts_with("softmax_cross_entropy: ") && error.contains(word), "{error}");
    }
}
