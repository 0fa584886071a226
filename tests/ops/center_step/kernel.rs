use super::step;
use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::noise;
use bcreid::device::Device;
use softcuda::{Launch, args};

/// The centers after a step by the kernel and by the CPU, whose sums are in f64.
fn check(gpu: &Gpu, labels: &[i32], classes: usize, d: usize, rate: f32, block: u32) -> Outcome {
    let m = labels.len();
    let x = noise(1, m * d);
    let before = noise(2, classes * d);
    let centers = gpu.upload("centers", &before)?;
    let (x_there, labels_there) = (gpu.upload("x", &x)?, gpu.upload("labels", labels)?);
    let rate_there = gpu.upload("rate", &[rate])?;
    // Three slices of a wide row, each with several rounds.
    let slices = (d as u32).div_ceil(block).min(3);
    let launch = Launch::new((m as u32, slices), block);
    let sizes = [m as i32, d as i32, classes as i32];
    let arguments = args![&centers, &x_there, &labels_there, &rate_there, sizes[0], sizes[1], sizes[2]];
    gpu.launch("center_step_f32", launch, arguments)?;

    let want = step(&Device::cpu(), &before, &x, labels, d, rate)?;
    let want: Vec<f64> = want.into_iter().map(f64::from).collect();
    // The roundings of a sum of up to m differences, over m + 1.
    close("centers", &gpu.read(&centers)?, &want, 1e-6, 1.0)
}

#[test]
fn every_size() {
    gpu::run("center_step", |gpu| {
        for (m, classes, d, block) in [
            (1, 1, 1, 32),
            (5, 3, 3, 64),
            (16, 751, 13, 96),
            (16, 7, 2048, 128),
            (7, 4, 4095, 256),
            (9, 4, 4096, 1024),
            (70, 5, 66, 32),
            (1024, 300, 4, 32),
        ] {
            let labels: Vec<i32> = (0..m).map(|i| (i * 7919 % classes) as i32).collect();
            check(gpu, &labels, classes, d, 0.5, block)?;
        }
        Ok(())
    });
}

#[test]
fn one_class_of_1024_images() {
    gpu::run("center_step", |gpu| check(gpu, &[1; 1024], 3, 5, 0.5, 64));
}
