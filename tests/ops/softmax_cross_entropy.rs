pub mod kernel;
pub mod smoothing;

use crate::golden::{self, assert_close};
use crate::gradient_check::{Check, Input, noise};
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::softmax_cross_entropy::softmax_cross_entropy;
use bcreid::tensor::Tensor;

/// The loss, and the gradient of `dy` times the loss. With `in_place` the operation holds the only handle to the
/// logits.
fn both(
    device: &Device,
    shape: [usize; 2],
    logits: &[f32],
    labels: &[i32],
    dy: f32,
    in_place: bool,
) -> Result<(f32, Vec<f32>)> {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let z = tape.leaf(Tensor::from_f32(device, shape, logits).unwrap());
    let key = on::key(device, &z);
    let keeper = (!in_place).then(|| z.clone());
    let labels = Tensor::from_i32(device, [labels.len()], labels).unwrap();
    let loss = softmax_cross_entropy(&mut tape, z, &labels)?;
    let value = host(&loss.value)[0];
    let mut grads = tape.backward(vec![(loss, Tensor::full(device, [1], dy).unwrap())])?;
    if let Some(keeper) = keeper {
        assert!(host(&keeper.value).iter().map(|v| v.to_bits()).eq(logits.iter().map(|v| v.to_bits())));
    }
    Ok((value, host(&grads.take(&key).unwrap())))
}

/// Both ways must agree to the bit.
fn run(device: &Device, shape: [usize; 2], logits: &[f32], labels: &[i32], dy: f32) -> (f32, Vec<f32>) {
    let [apart, in_place] = [false, true].map(|way| both(device, shape, logits, labels, dy, way).unwrap());
    let bits = |(loss, dz): &(f32, Vec<f32>)| -> Vec<u32> {
        std::iter::once(loss).chain(dz).map(|v| v.to_bits()).collect()
    };
    assert_eq!(bits(&apart), bits(&in_place));
    apart
}

/// The CPU computes in f64; a GPU in f32, whose exponential and logarithm are a unit or two off.
fn tolerance(device: &Device) -> f32 {
    if on::is_cuda(device) { 2e-6 } else { 1e-6 }
}

#[test]
fn gradient() {
    on::each(|device| {
        let labels = [3, 0, 6, 3, 2];
        let flat = noise(1, 35).iter().map(|v| 0.01 * v).collect();
        let peaked = noise(2, 35).iter().map(|v| 30.0 * v.powi(3)).collect();
        for values in [flat, noise(3, 35), peaked] {
            Check::default().run(device, &[Input::new([5, 7], values)], |t, v| {
                let labels = Tensor::from_i32(&t.device(), [5], &labels).unwrap();
                softmax_cross_entropy(t, v[0].clone(), &labels)
            });
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("softmax_cross_entropy");
        for name in ["flat", "peaked", "huge"] {
            let get = |what: &str| &golden[&format!("{name}.{what}")];
            let logits = get("logits");
            let shape = [logits.shape[0], logits.shape[1]];
            let (loss, dlogits) = run(device, shape, &logits.values, &golden["labels"].i32(), 1.75);
            assert_close(name, &[loss], &get("loss").values, tolerance(device));
            assert_close(name, &dlogits, &get("dlogits").values, tolerance(device));
        }
    });
}

#[test]
fn known_losses() {
    on::each(|device| {
        let (loss, _) = run(device, [2, 751], &[3.0; 2 * 751], &[0, 750], 1.0);
        assert_close("uniform logits", &[loss], &[751f32.ln()], tolerance(device));
        let (loss, dz) = run(device, [1, 3], &[1e4, -1e4, 0.0], &[1], 1.0);
        assert_eq!((loss, dz), (2e4, vec![1.0, -1.0, 0.0]), "huge logits stay finite");
        let (loss, dz) = run(device, [3, 1], &[5.0, -5.0, 1e4], &[0; 3], 1.0);
        assert_eq!((loss, dz), (0.0, vec![0.0; 3]), "one class costs nothing");
        let (loss, _) = both(device, [1, 3], &[0.0, f32::NAN, 0.0], &[0], 1.0, true).unwrap();
        assert!(loss.is_nan(), "a NaN logit shows in the loss");
    });
}

#[test]
fn the_loss_is_the_same_in_inference() {
    on::each(|device| {
        let logits = noise(4, 12);
        let mut params = Params::none(device);
        let mut tape = Tape::no_grad(&mut params).unwrap();
        let z = tape.constant(Tensor::from_f32(device, [3, 4], &logits).unwrap());
        let labels = Tensor::from_i32(device, [3], &[0, 3, 1]).unwrap();
        let loss = host(&softmax_cross_entropy(&mut tape, z, &labels).unwrap().value)[0];
        assert_eq!(loss, run(device, [3, 4], &logits, &[0, 3, 1], 1.0).0);
    });
}

/// Few classes and many, rows of whole packs and of other lengths; flat, ordinary and peaked.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for shape in [[1, 1], [1, 5], [5, 7], [16, 751], [2, 4096], [300, 3]] {
            let [m, n] = shape;
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % n) as i32).collect();
            for size in [0.01, 3.0, 30.0] {
                let logits: Vec<f32> = noise(1, m * n).iter().map(|v| size * v).collect();
                let [(loss, dz), (cpu_loss, cpu_dz)] =
                    [device, &Device::cpu()].map(|on| run(on, shape, &logits, &labels, -1.75));
                // In f32, where the CPU computes in f64; the exponential of a logit far from the maximum carries the
                // absolute error of their difference.
                assert_close(&format!("loss of {shape:?}"), &[loss], &[cpu_loss], 2e-6);
                let scaled = |dz: &[f32]| dz.iter().map(|v| v * m as f32).collect::<Vec<_>>();
                assert_close(&format!("dz of {shape:?}, {size}"), &scaled(&dz), &scaled(&cpu_dz), 5e-6);
            }
        }
    });
}

/// Where looking at the labels would be waiting, a label that is no class makes the loss NaN.
#[test]
fn a_label_that_is_no_class_gives_nan_on_a_gpu() {
    on::cuda(|device| {
        for label in [-1, 3, i32::MIN, i32::MAX] {
            let (loss, _) = both(device, [2, 3], &[0.5; 6], &[1, label], 1.0, false).unwrap();
            assert!(loss.is_nan(), "label {label}: {loss}");
        }
    });
}

#[test]
fn wrong_labels_are_refused() {
    for (labels, word) in [(vec![0, 5], "label 5 of image 1"), (vec![-1, 0], "label -1"), (vec![0], "[1]")] {
        let error = both(&Device::cpu(), [2, 5], &[0.0; 10], &labels, 1.0, false).unwrap_err().to_string();
        assert!(error.starts_with("softmax_cross_entropy: ") && error.contains(word), "{error}");
    }
}
