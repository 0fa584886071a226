pub mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::metric::{Batch, MIXED, largest};
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape, Var};
use bcreid::device::Device;
use bcreid::ops::center_loss::center_loss;
use bcreid::tensor::Tensor;

/// The loss by its centers `[n, D]`, which are read and not changed. It has no terms.
fn loss(centers: &[f32], d: usize) -> impl Fn(&mut Tape<'_>, Var, &Tensor) -> Result<(Var, Tensor)> + Sync {
    move |tape, x, labels| {
        let there = Tensor::from_f32(&tape.device(), [centers.len() / d, d], centers).unwrap();
        let loss = center_loss(tape, x, labels, &there)?;
        assert_eq!(host(&there), centers);
        let value = loss.value.clone();
        Ok((loss, value))
    }
}

/// The definition, in f64.
pub fn definition(x: &[f64], labels: &[i32], centers: &[f32], d: usize) -> f64 {
    let rows = x.chunks(d).zip(labels);
    let of_row = |(x, &label): (&[f64], &i32)| -> f64 {
        let center = &centers[label as usize * d..][..d];
        x.iter().zip(center).map(|(x, &c)| (x - f64::from(c)).powi(2)).sum()
    };
    rows.map(of_row).sum::<f64>() / labels.len() as f64
}

/// Ten images, and a center for each of six identities.
fn batch(d: usize) -> (Batch, Vec<f32>) {
    (Batch::new(&noise(1, MIXED.len() * d), &MIXED), noise(2, 6 * d))
}

#[test]
fn gradient() {
    on::each(|device| {
        for d in [1, 5, 8] {
            let (batch, centers) = batch(d);
            let dx = batch.run(device, 1.0, None, loss(&centers, d)).dx;
            let numeric = batch.numeric_gradient(1e-4, |x| definition(x, &MIXED, &centers, d));
            assert_close("dx", &dx, &numeric, 1e-5);
            batch.check_gradient_is_added(device, loss(&centers, d));
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("center_loss");
        let get = |name: &str| &golden[name].values;
        let batch = Batch::new(get("x"), &golden["labels"].i32());
        let ours = batch.run(device, 1.75, None, loss(get("centers"), 13));
        assert_close("loss", &[ours.loss], get("loss"), 1e-6);
        assert_close("dx", &ours.dx, get("dx"), 1e-6);
    });
}

/// Two images at distances 3 and 5 from their centers.
#[test]
fn the_mean_of_squared_distances_by_hand() {
    on::each(|device| {
        let batch = Batch { x: vec![4.0, 1.0], labels: vec![1, 0], d: 1 };
        let ours = batch.run(device, 1.0, None, loss(&[-4.0, 1.0], 1));
        assert_eq!((ours.loss, ours.dx), (17.0, vec![3.0, 5.0]));
        assert_eq!(batch.inference(device, loss(&[-4.0, 1.0], 1)), 17.0);
    });
}

/// Features far from the origin and near their centers keep the digits of the distance.
#[test]
fn near_a_center_no_digit_is_lost() {
    on::each(|device| {
        let (d, far) = (64, 1000.0f32);
        let x: Vec<f32> = noise(1, 2 * d).iter().map(|v| far + v).collect();
        let centers = vec![far; 2 * d];
        let batch = Batch { x, labels: vec![1, 0], d };
        let want = definition(&batch.x64(), &batch.labels, &centers, d);
        let ours = batch.run(device, 1.0, None, loss(&centers, d)).loss;
        assert!((f64::from(ours) / want - 1.0).abs() < 1e-6, "{ours}, {want}");
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, classes, d) in [(1, 1, 1), (16, 7, 2048), (33, 40, 65), (130, 5, 130), (72, 30, 4095)] {
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % classes) as i32).collect();
            let batch = Batch::new(&noise(3, m * d), &labels);
            let centers = noise(4, classes * d);
            batch.check_device(device, "center loss", [1e-6, 1e-6, 1e-6], loss(&centers, d));
        }
    });
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let (batch, centers) = batch(67);
    batch.check_threads(loss(&centers, 67));
    assert!(largest(&centers) > 0.5);
}

#[test]
fn a_label_without_a_center_and_wrong_shapes_are_refused() {
    let refused = |x: [usize; 2], labels: &[i32], centers: [usize; 2], words: &[&str]| {
        Batch::check_refused("center_loss", x, labels, words, |tape, x, labels| {
            let centers = Tensor::zeros(&tape.device(), centers).unwrap();
            let loss = center_loss(tape, x, labels, &centers)?;
            Ok((loss, centers))
        });
    };
    refused([2, 3], &[0, 4], [4, 3], &["label 4 of image 1"]);
    refused([2, 3], &[-1, 0], [4, 3], &["label -1 of image 0"]);
    refused([2, 3], &[0, 1], [4, 2], &["[2, 3]", "[4, 2]", "width"]);
    refused([2, 3], &[0], [4, 3], &["i32 [2]"]);
    // A GPU does not look at the labels: the loss says it.
    on::cuda(|device| {
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let x = tape.leaf(Tensor::zeros(device, [2, 3]).unwrap());
        let labels = Tensor::from_i32(device, [2], &[0, 4]).unwrap();
        let centers = Tensor::zeros(device, [4, 3]).unwrap();
        assert!(host(&center_loss(&mut tape, x, &labels, &centers).unwrap().value)[0].is_nan());
    });
}

/// A device that exists in every build.
#[test]
fn the_centers_may_change_after_the_backward_pass() {
    let device = Device::cpu();
    let mut centers = Tensor::zeros(&device, [2, 3]).unwrap();
    let mut params = Params::none(&device);
    let mut tape = Tape::new(&mut params, &StepValues::new(&device, 0).unwrap());
    let x = tape.leaf(Tensor::full(&device, [2, 3], 1.0).unwrap());
    let labels = Tensor::from_i32(&device, [2], &[0, 1]).unwrap();
    let loss = center_loss(&mut tape, x, &labels, &centers).unwrap();
    tape.backward(vec![(loss, Tensor::full(&device, [1], 1.0).unwrap())]).unwrap();
    centers.f32_mut()[0] = 1.0;
}
