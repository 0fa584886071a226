//! Label smoothing: the operation on all devices, and its kernels alone.

use super::{noise, run as plain, tolerance};
use crate::golden::{self, assert_close};
use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::{Check, Input};
use crate::on::{self, host};
use bcreid::Result;
use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::softmax_cross_entropy::{Smoothing, softmax_cross_entropy_smoothed};
use bcreid::tensor::Tensor;
use softcuda::{Arg, Launch, args};

/// Every kind of image: without smoothing, with some, generated.
const EACH: [f32; 5] = [0.0, 0.1, 1.0, 0.5, 1.0];

/// The loss, and the gradient of `dy` times the loss; one smoothing for all images, or one for each.
fn run(
    device: &Device,
    shape: [usize; 2],
    logits: &[f32],
    labels: &[i32],
    dy: f32,
    smoothing: &[f32],
) -> Result<(f32, Vec<f32>)> {
    let mut params = Params::none(device);
    let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).unwrap());
    let z = tape.leaf(Tensor::from_f32(device, shape, logits).unwrap());
    let key = on::key(device, &z);
    let labels = Tensor::from_i32(device, [labels.len()], labels).unwrap();
    let smoothing = match smoothing {
        [all] => Smoothing::All(*all),
        each => Smoothing::Each(Tensor::from_f32(device, [each.len()], each).unwrap()),
    };
    let loss = softmax_cross_entropy_smoothed(&mut tape, z, &labels, &smoothing)?;
    let value = host(&loss.value)[0];
    let mut grads = tape.backward(vec![(loss, Tensor::full(device, [1], dy).unwrap())])?;
    Ok((value, host(&grads.take(&key).unwrap())))
}

#[test]
fn gradient() {
    on::each(|device| {
        let labels = [3, 0, 6, 3, 2];
        let peaked = noise(2, 35).iter().map(|v| 30.0 * v.powi(3)).collect();
        for values in [noise(3, 35), peaked] {
            for each in [false, true] {
                Check::default().run(device, &[Input::new([5, 7], values.clone())], |t, v| {
                    let device = t.device();
                    let labels = Tensor::from_i32(&device, [5], &labels).unwrap();
                    let smoothing = match each {
                        true => Smoothing::Each(Tensor::from_f32(&device, [5], &EACH).unwrap()),
                        false => Smoothing::All(0.3),
                    };
                    softmax_cross_entropy_smoothed(t, v[0].clone(), &labels, &smoothing)
                });
            }
        }
    });
}

#[test]
fn golden_values() {
    on::each(|device| {
        let golden = golden::read("softmax_cross_entropy");
        for name in ["flat", "peaked", "huge"] {
            let logits = &golden[&format!("{name}.logits")];
            let shape = [logits.shape[0], logits.shape[1]];
            for (kind, smoothing) in [("all", &[0.1][..]), ("each", &golden["smoothing"].values)] {
                let get = |what: &str| &golden[&format!("{name}.{kind}.{what}")].values;
                let labels = golden["labels"].i32();
                let (loss, dlogits) = run(device, shape, &logits.values, &labels, 1.75, smoothing).unwrap();
                assert_close(name, &[loss], get("loss"), tolerance(device));
                assert_close(name, &dlogits, get("dlogits"), tolerance(device));
            }
        }
    });
}

/// Also of images one by one in a batch where others are smoothed.
#[test]
fn no_smoothing_gives_the_bits_of_the_plain_loss() {
    on::each(|device| {
        let bits = |(loss, dz): (f32, Vec<f32>)| -> Vec<u32> {
            std::iter::once(loss).chain(dz).map(f32::to_bits).collect()
        };
        for [m, n] in [[5, 7], [16, 751], [3, 4096]] {
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % n) as i32).collect();
            for size in [0.01, 3.0, 30.0] {
                let logits: Vec<f32> = noise(1, m * n).iter().map(|v| size * v).collect();
                let want = bits(plain(device, [m, n], &logits, &labels, -1.75));
                for smoothing in [vec![0.0], vec![0.0; m]] {
                    let ours = run(device, [m, n], &logits, &labels, -1.75, &smoothing).unwrap();
                    assert_eq!(bits(ours), want, "{m} x {n}");
                }
                let mut smoothing = vec![0.0; m];
                smoothing[1] = 0.5;
                let (_, dz) = run(device, [m, n], &logits, &labels, -1.75, &smoothing).unwrap();
                let bits: Vec<u32> = dz.iter().map(|v| v.to_bits()).collect();
                assert_eq!(bits[..n], want[1..=n], "image 0 of {m} x {n}");
                assert_ne!(bits[n..2 * n], want[1 + n..=2 * n], "image 1 of {m} x {n}");
            }
        }
    });
}

#[test]
fn known_losses() {
    on::each(|device| {
        // Of uniform logits the loss is log K, whatever the smoothing is.
        let (loss, _) = run(device, [2, 751], &[3.0; 2 * 751], &[0, 750], 1.0, &[0.1]).unwrap();
        assert_close("uniform logits", &[loss], &[751f32.ln()], tolerance(device));
        // LSRO: the label has no weight, even where its probability is 0.
        let logits = [0.0, 0.0, f32::NEG_INFINITY, 1e4, -1e4, 0.0];
        let lsro = |labels: [i32; 2]| run(device, [2, 3], &logits, &labels, 1.0, &[0.0, 1.0]).unwrap();
        assert_close("LSRO", &[lsro([0, 1]).0], &[(2f32.ln() + 1e4) / 2.0], tolerance(device));
        assert_eq!(lsro([0, 1]), lsro([0, 2]));
        let (loss, _) = run(device, [1, 3], &[0.0, f32::NAN, 0.0], &[0], 1.0, &[0.1]).unwrap();
        assert!(loss.is_nan(), "a NaN logit shows in the loss");
    });
}

#[test]
fn cuda_devices_agree_with_the_cpu() {
    on::cuda(|device| {
        for shape in [[1, 1], [1, 5], [5, 7], [16, 751], [2, 4096], [300, 3]] {
            let [m, n] = shape;
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % n) as i32).collect();
            let each: Vec<f32> = EACH.into_iter().cycle().take(m).collect();
            for (size, smoothing) in [0.01, 3.0, 30.0].into_iter().flat_map(|s| [(s, &[0.1][..]), (s, &each)])
            {
                let logits: Vec<f32> = noise(1, m * n).iter().map(|v| size * v).collect();
                let [(loss, dz), (cpu_loss, cpu_dz)] = [device, &Device::cpu()]
                    .map(|on| run(on, shape, &logits, &labels, -1.75, smoothing).unwrap());
                assert_close(&format!("loss of {shape:?}"), &[loss], &[cpu_loss], 3e-6);
                let scaled = |dz: &[f32]| dz.iter().map(|v| v * m as f32).collect::<Vec<_>>();
                assert_close(&format!("dz of {shape:?}, {size}"), &scaled(&dz), &scaled(&cpu_dz), 5e-6);
            }
        }
    });
}

#[test]
fn on_a_gpu_a_smoothing_out_of_range_or_a_wrong_label_gives_nan() {
    on::cuda(|device| {
        for wrong in [-0.1, 1.5, f32::NAN, f32::INFINITY] {
            let (loss, _) = run(device, [2, 3], &[0.5; 6], &[1, 2], 1.0, &[0.1, wrong]).unwrap();
            assert!(loss.is_nan(), "{wrong}: {loss}");
        }
        for (label, smoothing) in [-1, 3].into_iter().flat_map(|label| [(label, 0.1), (label, 1.0)]) {
            let (loss, _) = run(device, [2, 3], &[0.5; 6], &[1, label], 1.0, &[smoothing]).unwrap();
            assert!(loss.is_nan(), "label {label}, smoothing {smoothing}: {loss}");
        }
    });
}

#[test]
fn wrong_inputs_are_refused() {
    let refuse = |smoothing: &[f32], word: &str| {
        let error = run(&Device::cpu(), [2, 5], &[0.0; 10], &[0, 1], 1.0, smoothing).unwrap_err().to_string();
        assert!(error.starts_with("softmax_cross_entropy: ") && error.contains(word), "{error}");
    };
    for wrong in [-0.1, 1.5, f32::NAN] {
        refuse(&[wrong], "not in [0, 1]");
        refuse(&[0.5, wrong], "of image 1 is not in [0, 1]");
    }
    refuse(&[0.1; 3], "expected f32 [2]");
}

/// The kernels alone against f64; `smoothing` has one element for all rows or one for each.
fn check(gpu: &Gpu, [m, n]: [usize; 2], size: f32, smoothing: &[f32], block: u32) -> Outcome {
    const DY: f32 = 1.75;
    let logits: Vec<f32> = noise((m * n) as u64, m * n).iter().map(|v| size * v).collect();
    let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % n) as i32).collect();
    let (mut losses, mut gradient) = (Vec::new(), Vec::new());
    for (i, z) in logits.chunks(n).enumerate() {
        let smoothing = f64::from(if smoothing.len() == 1 { smoothing[0] } else { smoothing[i] });
        let max = f64::from(z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let log_sum = z.iter().map(|&z| (f64::from(z) - max).exp()).sum::<f64>().ln();
        let target = |j: usize| {
            let onehot = if j == labels[i] as usize { 1.0 } else { 0.0 };
            (1.0 - smoothing) * onehot + smoothing / n as f64
        };
        let log_probability = |j: usize| f64::from(z[j]) - max - log_sum;
        losses.push((0..n).map(|j| -target(j) * log_probability(j)).sum());
        let share = f64::from(DY) / m as f64;
        gradient.extend((0..n).map(|j| (log_probability(j).exp() - target(j)) * share));
    }
    let device_logits = gpu.upload("logits", &logits)?;
    let labels = gpu.upload("labels", &labels)?;
    let all = if smoothing.len() == 1 { smoothing[0] } else { 7.0 };
    let each = gpu.upload("smoothings", smoothing)?;
    let each = || if smoothing.len() == 1 { Arg::Pointer(0) } else { (&each).into() };
    let device_losses = gpu.unwritten::<f32>("losses", m)?;
    let partition = gpu.unwritten::<f32>("partition", 2 * m)?;
    let (rows, n_arg) = (Launch::new(m as u32, block), n as i32);
    let arguments = args![&device_logits, &labels, all, each(), &device_losses, &partition, n_arg];
    gpu.launch("softmax_cross_entropy_smoothed_forward_f32", rows, arguments)?;
    // The sum of n differences of up to 2 `size`.
    close("losses", &gpu.read(&device_losses)?, &losses, 3e-6, f64::from(size).max(1.0))?;
    let dy = gpu.upload("dy", &[DY])?;
    let dlogits = gpu.unwritten::<f32>("dlogits", m * n)?;
    let arguments = args![&device_logits, &labels, all, each(), &partition, &dy, &dlogits, n_arg];
    gpu.launch("softmax_cross_entropy_smoothed_backward_f32", rows, arguments)?;
    close("dlogits", &gpu.read(&dlogits)?, &gradient, 3e-6, f64::from(DY) / m as f64)
}

pub fn every_case(gpu: &Gpu) -> Outcome {
    for (m, n, block) in [(1, 1, 32), (3, 1, 64), (5, 7, 32), (16, 751, 128), (7, 1023, 256), (2, 4097, 96)] {
        let each: Vec<f32> = EACH.into_iter().cycle().take(m).collect();
        for (size, smoothing) in [0.01, 3.0, 30.0].into_iter().flat_map(|s| [(s, &[0.1][..]), (s, &each)]) {
            check(gpu, [m, n], size, smoothing, block)
                .map_err(|e| format!("{m} x {n}, {size}, smoothing {smoothing:?}: {e}"))?;
        }
    }
    Ok(())
}

#[test]
fn kernels() {
    gpu::run("softmax_cross_entropy", every_case);
}
