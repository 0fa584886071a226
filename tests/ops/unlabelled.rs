//! Targets of images without an identity: on all devices, and the kernel alone.

use crate::gpu::{self, Gpu, Outcome, equal};
use crate::on::{self, host};
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::ops::softmax_cross_entropy::{Smoothing, softmax_cross_entropy_smoothed};
use bcreid::ops::unlabelled::{UNLABELLED, targets};
use bcreid::tensor::Tensor;
use softcuda::{Launch, args};

#[test]
fn labels_become_targets_and_smoothings() {
    on::each(|device| {
        let labels = Tensor::from_i32(device, [5], &[3, UNLABELLED, 0, 7, UNLABELLED]).unwrap();
        let (classes, smoothings) = targets(&labels, 0.25).unwrap();
        assert_eq!(classes.to_host_i32().unwrap(), [3, 0, 0, 7, 0]);
        assert_eq!(host(&smoothings), [0.25, 1.0, 0.25, 0.25, 1.0]);
        let wrong = Tensor::zeros(device, [5]).unwrap();
        assert!(targets(&wrong, 0.0).unwrap_err().to_string().contains("expected i32 [5]"));
    });
}

/// The loss of an image without an identity is -(1/K) sum_k log p_k, and its gradient (p_k - 1/K) / m.
#[test]
fn the_target_of_an_unlabelled_image_is_uniform() {
    on::each(|device| {
        let (logits, labels) = ([1.0, -2.0, 0.5, 3.0, 0.25, -1.0], [1, UNLABELLED]);
        let mut params = Params::none(device);
        let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
        let z = tape.leaf(Tensor::from_f32(device, [2, 3], &logits).unwrap());
        let key = on::key(device, &z);
        let (classes, each) = targets(&Tensor::from_i32(device, [2], &labels).unwrap(), 0.0).unwrap();
        let loss = softmax_cross_entropy_smoothed(&mut tape, z, &classes, &Smoothing::Each(each)).unwrap();
        let value = f64::from(host(&loss.value)[0]);
        let one = Tensor::full(device, [1], 1.0).unwrap();
        let gradient = host(&tape.backward(vec![(loss, one)]).unwrap().take(&key).unwrap());

        let p = |row: usize| {
            let e: Vec<f64> = logits[3 * row..][..3].iter().map(|&z| f64::from(z).exp()).collect();
            let sum: f64 = e.iter().sum();
            e.iter().map(|e| e / sum).collect::<Vec<f64>>()
        };
        let (known, unknown) = (p(0), p(1));
        let uniform = -unknown.iter().map(|p| p.ln()).sum::<f64>() / 3.0;
        let expected = 0.5 * (uniform - known[1].ln());
        assert!((value - expected).abs() < 1e-5, "{value}, expected {expected}");
        for k in 0..3 {
            let wanted = [0.5 * (known[k] - f64::from(k as u8 == 1)), 0.5 * (unknown[k] - 1.0 / 3.0)];
            for (row, wanted) in wanted.into_iter().enumerate() {
                assert!((f64::from(gradient[3 * row + k]) - wanted).abs() < 1e-6, "{gradient:?}");
            }
        }
    });
}

fn every_size(gpu: &Gpu) -> Outcome {
    for (m, launch) in [(1, Launch::new(1, 32)), (70, Launch::new(2, 32)), (300, Launch::new(1, 96))] {
        let labels: Vec<i32> = (0..m).map(|i| if i % 3 == 1 { -1 } else { i }).collect();
        let device_labels = gpu.upload("labels", &labels)?;
        let (classes, each) =
            (gpu.unwritten::<i32>("targets", m as usize)?, gpu.unwritten::<f32>("smoothings", m as usize)?);
        gpu.launch("unlabelled_targets", launch, args![&device_labels, 0.1f32, &classes, &each, m])?;
        if gpu.read(&classes)? != labels.iter().map(|&label| label.max(0)).collect::<Vec<_>>() {
            return Err("targets".into());
        }
        let wanted: Vec<f32> = labels.iter().map(|&label| if label < 0 { 1.0 } else { 0.1 }).collect();
        equal("smoothings", &gpu.read_f32(&each)?, &wanted)?;
    }
    Ok(())
}

#[test]
fn kernel() {
    gpu::run("unlabelled", every_size);
}
