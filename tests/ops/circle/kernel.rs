//! The kernels against the CPU's operation, which the parent checks against the definition: their weights become a
//! gradient here by the formula of `pairs_backward`, which has its own test.

use super::{SCOPES, apply, around};
use crate::gpu::{self, Gpu, Outcome, close};
use crate::metric::{Batch, kernel_cases};
use bcreid::device::Device;
use bcreid::ops::circle::{Options, Scope};
use softcuda::{Launch, args};

/// The weights as a gradient: scale sum_j (w_ij + w_ji) x_j.
fn gradient(batch: &Batch, weights: &[f32], scale: f32) -> Vec<f32> {
    let (m, d, x) = (batch.m(), batch.d, batch.x64());
    let feature = |at: usize| {
        let (i, k) = (at / d, at % d);
        let weight = |j: usize| f64::from(weights[i * m + j]) + f64::from(weights[j * m + i]);
        (f64::from(scale) * (0..m).map(|j| weight(j) * x[j * d + k]).sum::<f64>()) as f32
    };
    (0..m * d).map(feature).collect()
}

fn check(gpu: &Gpu, batch: &Batch, options: Options, block: u32) -> Outcome {
    let (m, x) = (batch.m(), batch.x64());
    let Options { margin, gamma, scope } = options;
    let similarities: Vec<f32> =
        (0..m * m).map(|pair| batch.product(&x, pair / m, pair % m) as f32).collect();
    let part = |factor: f32| similarities.iter().map(move |s| factor * s);
    let partial = gpu.upload("partial", &part(0.25).chain(part(0.75)).collect::<Vec<_>>())?;
    let labels = gpu.upload("labels", &batch.labels)?;
    let weights = gpu.unwritten::<f32>("similarities", m * m)?;
    let rows = gpu.unwritten::<f32>("rows", 8 * m)?;
    let warps = Launch::new((m as u32).div_ceil(block / 32), block);
    let arguments = args![&partial, &labels, margin, gamma, &weights, &rows, 2i32, m as i32];
    gpu.launch("circle_rows", warps, arguments)?;
    let terms = gpu.unwritten::<f32>("terms", 3)?;
    let loss = gpu.unwritten::<f32>("loss", 1)?;
    let scales = gpu.unwritten::<f32>("scales", 2)?;
    let softmax = gpu.unwritten::<f32>("softmax", 5 * m)?;
    let whole_batch = i32::from(scope == Scope::Batch);
    let arguments = args![&rows, whole_batch, &terms, &loss, &scales, &softmax, m as i32];
    gpu.launch("circle_terms", Launch::new(1, block), arguments)?;
    let each = Launch::new(((m * m) as u32).div_ceil(block), block);
    gpu.launch("circle_weights", each, args![&weights, &labels, &softmax, margin, gamma, m as i32])?;

    let cpu = batch.run(&Device::cpu(), 1.0, None, apply(options));
    let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
    close("terms", &gpu.read(&terms)?, &wide(&cpu.terms), 2e-6, 1.0)?;
    close("loss", &gpu.read(&loss)?, &[f64::from(cpu.loss)], 1e-5, 1.0)?;
    let scales = gpu.read(&scales)?;
    if scales[0] != scales[1] {
        return Err(format!("scales {scales:?} differ").into());
    }
    let largest = cpu.dx.iter().fold(1e-3, |max: f64, v| max.max(v.abs().into()));
    close("gradient", &gradient(batch, &gpu.read(&weights)?, scales[0]), &wide(&cpu.dx), 5e-5, largest)
}

/// Batches of less than a warp, of several rounds of a warp, and without anchors.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (labels, d, block) in kernel_cases() {
        for (spread, scope) in [0.05, 0.7, 10.0].into_iter().flat_map(|s| SCOPES.map(|o| (s, o))) {
            let options = Options { margin: 0.25, gamma: 32.0, scope };
            check(gpu, &around(1, &labels, d, spread), options, block)
                .map_err(|e| format!("{} images, spread {spread}, {options:?}: {e}", labels.len()))?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("circle", every_case);
}
