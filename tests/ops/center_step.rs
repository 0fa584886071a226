mod kernel;

use crate::golden::{self, assert_close};
use crate::gradient_check::noise;
use crate::on::{self, host};
use bcreid::Result;
use bcreid::device::Device;
use bcreid::ops::center_step::center_step;
use bcreid::tensor::Tensor;

/// The centers after a step; the inputs stay as they are.
fn step(
    device: &Device,
    centers: &[f32],
    x: &[f32],
    labels: &[i32],
    d: usize,
    rate: f32,
) -> Result<Vec<f32>> {
    let mut c = Tensor::from_f32(device, [centers.len() / d, d], centers).unwrap();
    let x_there = Tensor::from_f32(device, [x.len() / d, d], x).unwrap();
    let labels_there = Tensor::from_i32(device, [labels.len()], labels).unwrap();
    center_step(&mut c, &x_there, &labels_there, &Tensor::full(device, [1], rate).unwrap())?;
    assert_eq!((host(&x_there), labels_there.to_host_i32().unwrap()), (x.to_vec(), labels.to_vec()));
    Ok(host(&c))
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("center_step");
        let stepped =
            step(device, &golden["centers"].values, &golden["x"].values, &golden["labels"].i32(), 13, 0.5)
                .unwrap();
        assert_close("centers", &stepped, &golden["stepped"].values, 1e-6);
    });
}

/// One image at 1, center at 0, rate 0.5: delta = (0 - 1) / 2, and the center moves *towards* the image.
#[test]
fn the_sign_is_that_of_wen_et_al() {
    on::each(|device| {
        assert_eq!(step(device, &[0.0], &[1.0], &[0], 1, 0.5).unwrap(), [0.25]);
    });
}

#[test]
fn the_distance_to_the_class_mean_shrinks() {
    on::each(|device| {
        let (d, labels) = (16, [0, 2, 0, 0, 2]);
        let (mut centers, x) = (noise(1, 3 * d), noise(2, 5 * d));
        let distance = |centers: &[f32], class: usize| -> f64 {
            let members: Vec<_> = (0..5).filter(|&i| labels[i] == class as i32).collect();
            let mean = |k: usize| {
                members.iter().map(|i| f64::from(x[i * d + k])).sum::<f64>() / members.len() as f64
            };
            (0..d).map(|k| (f64::from(centers[class * d + k]) - mean(k)).powi(2)).sum::<f64>().sqrt()
        };
        for _ in 0..20 {
            let moved = step(device, &centers, &x, &labels, d, 0.5).unwrap();
            for class in [0, 2] {
                assert!(distance(&moved, class) < distance(&centers, class), "class {class}");
            }
            centers = moved;
        }
        assert!(distance(&centers, 0) < 1e-3 && distance(&centers, 2) < 1e-2);
    });
}

#[test]
fn classes_outside_the_batch_do_not_move() {
    on::each(|device| {
        let centers = noise(3, 4 * 5);
        let stepped = step(device, &centers, &noise(4, 10), &[1, 3], 5, 0.5).unwrap();
        assert_eq!((&stepped[..5], &stepped[10..15]), (&centers[..5], &centers[10..15]));
        assert!(stepped[5..10] != centers[5..10] && stepped[15..] != centers[15..]);
    });
}

#[test]
fn rate_zero_moves_nothing() {
    on::each(|device| {
        let centers = noise(5, 20);
        assert_eq!(step(device, &centers, &noise(6, 10), &[1, 3], 5, 0.0).unwrap(), centers);
    });
}

/// Classes that share a block or not, rows of whole packs and of other lengths, a class of many images, one slice of
/// features and several.
#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for (m, classes, d) in
            [(1, 1, 1), (5, 3, 3), (16, 751, 13), (16, 7, 2048), (7, 4, 1023), (70, 5, 66), (300, 2, 260)]
        {
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % classes) as i32).collect();
            let (centers, x) = (noise(1, classes * d), noise(2, m * d));
            let [ours, cpu] =
                [device, &Device::cpu()].map(|on| step(on, &centers, &x, &labels, d, 0.5).unwrap());
            // The CPU sums the differences of a class in f64, a GPU in f32.
            assert_close(&format!("{m} images of {classes} classes, {d} features"), &ours, &cpu, 1e-6);
        }
    });
}

/// A GPU leaves out images whose label is no class; the CPU refuses them.
#[test]
fn a_gpu_leaves_out_labels_that_are_no_class() {
    on::cuda(|device| {
        let (centers, x) = (noise(1, 4 * 6), noise(2, 8 * 6));
        let labels = [-1, 2, 4, 2, 5, 0, i32::MIN, i32::MAX];
        let kept: Vec<usize> = (0..8).filter(|&i| (0..4).contains(&labels[i])).collect();
        let kept_x: Vec<f32> = kept.iter().flat_map(|&i| &x[i * 6..][..6]).copied().collect();
        let kept_labels: Vec<i32> = kept.iter().map(|&i| labels[i]).collect();
        let cpu = step(&Device::cpu(), &centers, &kept_x, &kept_labels, 6, 0.5).unwrap();
        let ours = step(device, &centers, &x, &labels, 6, 0.5).unwrap();
        assert_close("centers", &ours, &cpu, 1e-6);
    });
}

#[test]
fn wrong_inputs_are_refused() {
    let device = &Device::cpu();
    let error = step(device, &[0.0; 10], &[0.0; 10], &[0, 2], 5, 0.5).unwrap_err().to_string();
    assert!(error.starts_with("center_step: label 2 of image 1"), "{error}");
    let mut centers = Tensor::zeros(device, [3, 5]).unwrap();
    let (x, labels) =
        (Tensor::zeros(device, [2, 4]).unwrap(), Tensor::from_i32(device, [2], &[0, 1]).unwrap());
    let rate = Tensor::zeros(device, [1]).unwrap();
    let error = center_step(&mut centers, &x, &labels, &rate).unwrap_err().to_string();
    assert!(error.contains("[2, 4]") && error.contains("[3, 5]"), "{error}");
    let x = Tensor::zeros(device, [2, 5]).unwrap();
    let error =
        center_step(&mut centers, &x, &labels, &Tensor::zeros(device, [2]).unwrap()).unwrap_err().to_string();
    assert!(error.contains("rate") && error.contains("[2]"), "{error}");
}
