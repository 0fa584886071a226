//! The kernels against the definition of the parent, in f64. `pairs_backward`, which turns the weights into a gradient,
//! has its own test.

use super::{Margins, around, margins, terms};
use crate::gpu::{self, Gpu, Outcome, close};
use crate::metric::{Batch, kernel_cases};
use softcuda::{Arg, Launch, args};

fn check(gpu: &Gpu, batch: &Batch, margins: Margins, block: u32) -> Outcome {
    let (m, x) = (batch.m(), batch.x64());
    let squared: Vec<f64> = (0..m * m).map(|pair| batch.squared_distance(&x, pair / m, pair % m)).collect();
    let part = |factor: f64| squared.iter().map(move |d| (factor * d) as f32);
    let partial = gpu.upload("partial", &part(0.25).chain(part(0.75)).collect::<Vec<_>>())?;
    let labels = gpu.upload("labels", &batch.labels)?;
    let rows = gpu.unwritten::<f32>("rows", 4 * m)?;
    let weights = gpu.unwritten::<f32>("weights", m * m)?;
    let Margins { positive, negative } = margins;
    let warps = Launch::new((m as u32).div_ceil(block / 32), block);
    let launch = |weights: Arg| {
        let arguments = args![&partial, &labels, positive, negative, &rows, weights, 2i32, m as i32];
        gpu.launch("contrastive_rows", warps, arguments)
    };
    launch(Arg::Pointer(0))?;
    let without = gpu.read(&rows)?;
    launch((&weights).into())?;
    if without != gpu.read(&rows)? {
        return Err("the rows depend on the weights".into());
    }
    let device_terms = gpu.unwritten::<f32>("terms", 4)?;
    let loss = gpu.unwritten::<f32>("loss", 1)?;
    let scales = gpu.unwritten::<f32>("scales", 2)?;
    let arguments = args![&rows, &device_terms, &loss, &scales, m as i32];
    gpu.launch("contrastive_terms", Launch::new(1, block), arguments)?;

    let want = terms(batch, &x, margins);
    close("terms", &gpu.read(&device_terms)?, &want, 2e-6, 1.0)?;
    close("loss", &gpu.read(&loss)?, &[want[0] + want[1]], 2e-6, 1.0)?;
    // Each pair counts from both of its sides.
    let inverse = |pairs: f64| if pairs > 0.0 { 0.5 / pairs } else { 0.0 };
    close("scales", &gpu.read(&scales)?, &[inverse(want[2]), inverse(want[3])], 1e-6, 0.0)?;
    let weight = |pair: usize| {
        let (i, j, distance) = (pair / m, pair % m, squared[pair].sqrt());
        let same = batch.labels[i] == batch.labels[j];
        let cost = if same { distance - f64::from(positive) } else { f64::from(negative) - distance };
        let sign = if same { 1.0 } else { -1.0 };
        if i != j && cost > 0.0 && distance > 0.0 { sign / distance } else { 0.0 }
    };
    close("weights", &gpu.read(&weights)?, &(0..m * m).map(weight).collect::<Vec<_>>(), 2e-6, 0.1)
}

/// Batches of less than a warp, of several rounds of a warp, of one identity, and of many.
pub fn every_case(gpu: &Gpu) -> Outcome {
    for (labels, d, block) in kernel_cases() {
        for (spread, margins) in [0.05, 0.7, 10.0].into_iter().flat_map(|s| margins().map(|o| (s, o))) {
            check(gpu, &around(1, &labels, d, spread), margins, block)
                .map_err(|e| format!("{} images, spread {spread}, {margins:?}: {e}", labels.len()))?;
        }
    }
    Ok(())
}

/// Copies of images, of one identity and of two: no cost at the margin 0, and no direction.
pub fn copies(gpu: &Gpu) -> Outcome {
    let x: Vec<f32> = (0..40).map(|i| (i % 3) as f32 * 0.25).collect();
    let labels: Vec<i32> = (0..40).map(|i| i % 2).collect();
    margins().into_iter().try_for_each(|margins| check(gpu, &Batch::new(&x, &labels), margins, 64))
}

#[test]
fn copies_have_no_direction() {
    gpu::run("contrastive", copies);
}

#[test]
fn f32() {
    gpu::run("contrastive", every_case);
}
