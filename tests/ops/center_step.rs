mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use bcreid::Result;
use bcreid::device::Device;
use bcreid::ops::center_step::center_step;
use bcreid::tensor::Tensor;

fn step(centers: &[f32], x: &[f32], labels: &[i32], d: usize, rate: f32) -> Result<Vec<f32>> {
    let device = Device::cpu();
    let mut c = Tensor::from_f32(&device, [centers.len() / d, d], centers).unwrap();
    let x = Tensor::from_f32(&device, [x.len() / d, d], x).unwrap();
    let labels = Tensor::from_i32(&device, [labels.len()], labels).unwrap();
    center_step(&mut c, &x, &labels, &Tensor::full(&device, [1], rate).unwrap())?;
    Ok(c.to_host_f32().unwrap())
}

#[test]
fn golden_values() {
    let golden = golden::read("center_step");
    let stepped =
        step(&golden["centers"].values, &golden["x"].values, &golden["labels"].i32(), 13, 0.5).unwrap();
    assert_close("centers", &stepped, &golden["stepped"].values, 1e-6);
}

/// One image at 1, center at 0, rate 0.5: delta = (0 - 1) / 2, and the center moves *towards* the image.
#[test]
fn the_sign_is_that_of_wen_et_al() {
    assert_eq!(step(&[0.0], &[1.0], &[0], 1, 0.5).unwrap(), [0.25]);
}

#[test]
fn the_distance_to_the_class_mean_shrinks() {
    let (d, labels) = (16, [0, 2, 0, 0, 2]);
    let (mut centers, x) = (noise(1, 3 * d), noise(2, 5 * d));
    let distance = |centers: &[f32], class: usize| -> f64 {
        let members: Vec<_> = (0..5).filter(|&i| labels[i] == class as i32).collect();
        let mean =
            |k: usize| members.iter().map(|i| f64::from(x[i * d + k])).sum::<f64>() / members.len() as f64;
        (0..d).map(|k| (f64::from(centers[class * d + k]) - mean(k)).powi(2)).sum::<f64>().sqrt()
    };
    for _ in 0..20 {
        let moved = step(&centers, &x, &labels, d, 0.5).unwrap();
        for class in [0, 2] {
            assert!(distance(&moved, class) < distance(&centers, class), "class {class}");
        }
        centers = moved;
    }
    assert!(distance(&centers, 0) < 1e-3 && distance(&centers, 2) < 1e-2);
}

#[test]
fn classes_outside_the_batch_do_not_move() {
    let centers = noise(3, 4 * 5);
    let stepped = step(&centers, &noise(4, 10), &[1, 3], 5, 0.5).unwrap();
    assert_eq!((&stepped[..5], &stepped[10..15]), (&centers[..5], &centers[10..15]));
    assert!(stepped[5..10] != centers[5..10] && stepped[15..] != centers[15..]);
}

#[test]
fn rate_zero_moves_nothing() {
    let centers = noise(5, 20);
    assert_eq!(step(&centers, &noise(6, 10), &[1, 3], 5, 0.0).unwrap(), centers);
}

#[test]
fn wrong_inputs_are_refused() {
    let error = step(&[0.0; 10], &[0.0; 10], &[0, 2], 5, 0.5).unwrap_err().to_string();
    assert!(error.starts_with("center_step: label 2 of image 1"), "{error}");
    let device = Device::cpu();
    let mut centers = Tensor::zeros(&device, [3, 5]).unwrap();
    let (x, labels) =
        (Tensor::zeros(&device, [2, 4]).unwrap(), Tensor::from_i32(&device, [2], &[0, 1]).unwrap());
    let rate = Tensor::zeros(&device, [1]).unwrap();
    let error = center_step(&mut centers, &x, &labels, &rate).unwrap_err().to_string();
    assert!(error.contains("[2, 4]") && error.contains("[3, 5]"), "{error}");
    let x = Tensor::zeros(&device, [2, 5]).unwrap();
    let error = center_step(&mut centers, &x, &labels, &Tensor::zeros(&device, [2]).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("rate") && error.contains("[2]"), "{error}");
}
