use super::{KINDS, rate, solver};
use crate::gpu::{self, Float, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use bcreid::ops::adam::WeightDecay;
use softcuda::{Arg, Launch, args};

/// Offset, length, lr_mult and decay of each segment; a gap between any two, and one of 100 elements.
const SEGMENTS: [(usize, usize, f32, f32); 5] = [
    (0, 1, 1.0, 0.05),
    (8, 7, 2.0, 0.0),
    (16, 1000, 0.5, 0.05),
    (1016, 123, 1.0, 0.05),
    (1240, 33, 1.0, 0.025),
];
const LENGTH: usize = 1280;

/// The content of every array where no segment lies.
const GAP: f32 = 7.0;

/// The number of the first step of all segments.
const FIRST_STEP: u32 = 5;

/// `values` in the segments, `GAP` elsewhere.
fn in_segments(values: &[f32]) -> Vec<f32> {
    let mut all = vec![GAP; LENGTH];
    for (offset, length, ..) in SEGMENTS {
        all[offset..offset + length].copy_from_slice(&values[offset..offset + length]);
    }
    all
}

/// Some steps, whose number the kernel reads from memory, against the formulas in f64; with and without the copy.
fn steps<F: Float>(
    gpu: &Gpu,
    (_, form, amsgrad): (&str, WeightDecay, bool),
    has_copy: bool,
    block: u32,
) -> Outcome {
    let solver = solver(form);
    let table: Vec<u32> = SEGMENTS
        .iter()
        .flat_map(|&(offset, length, lr_mult, decay)| {
            [
                offset as u32,
                length as u32,
                lr_mult.to_bits(),
                decay.to_bits(),
                FIRST_STEP,
                offset as u32,
                1,
                1,
            ]
        })
        .collect();
    let launch = Launch::new(SEGMENTS.len() as u32, block);
    let start = in_segments(&noise(1, LENGTH));
    let zeros = in_segments(&[0.0; LENGTH]);
    let (table, weights) = (gpu.upload("segments", &table)?, gpu.upload("weights", &start)?);
    let (means, squares) = (gpu.upload("means", &zeros)?, gpu.upload("squares", &zeros)?);
    let largest = gpu.upload("largest", &zeros)?;
    let copy = gpu.upload_as::<F>("copy", &[GAP; LENGTH])?;
    let widened = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let (mut w, mut m) = (widened(&start), widened(&zeros));
    let (mut v, mut u) = (m.clone(), m.clone());
    for step in 0..4 {
        let size = if step < 2 { 1.0 } else { 0.2 };
        let gradients: Vec<f32> = noise(100 + step as u64, LENGTH).iter().map(|g| size * g).collect();
        let gradients = in_segments(&F::kept(&gradients));
        for (offset, length, lr_mult, decay) in SEGMENTS {
            let (r, d) = (f64::from(rate(5 * step) * lr_mult), f64::from(decay));
            for i in offset..offset + length {
                let mut g = f64::from(gradients[i]);
                match form {
                    WeightDecay::L2 => g += d * w[i],
                    WeightDecay::Decoupled => w[i] *= 1.0 - r * d,
                }
                m[i] = solver.beta1 * m[i] + (1.0 - solver.beta1) * g;
                v[i] = solver.beta2 * v[i] + (1.0 - solver.beta2) * g * g;
                u[i] = if amsgrad { v[i].max(u[i]) } else { v[i] };
                let correction = |beta: f64| 1.0 - beta.powi(step as i32 + 1);
                let root = (u[i] / correction(solver.beta2)).sqrt() + f64::from(solver.epsilon);
                w[i] -= r * m[i] / correction(solver.beta1) / root;
            }
        }
        let gradients = gpu.upload_as::<F>("gradients", &gradients)?;
        let (rate, number) = (
            gpu.upload("rate", &[rate(5 * step)])?,
            gpu.upload("number", &[step as i32 + FIRST_STEP as i32])?,
        );
        let copy = if has_copy { Arg::from(&copy) } else { Arg::Pointer(0) };
        let largest_or_null = if amsgrad { Arg::from(&largest) } else { Arg::Pointer(0) };
        let constants = |beta: f64| [beta as f32, (1.0 - beta) as f32, beta.ln() as f32];
        let [beta1, rest1, log1] = constants(solver.beta1);
        let [beta2, rest2, log2] = constants(solver.beta2);
        let decoupled = i32::from(form == WeightDecay::Decoupled);
        gpu.launch(
            &format!("adam_{}", F::NAME),
            launch,
            args![
                &table,
                &weights,
                &gradients,
                &means,
                &squares,
                largest_or_null,
                copy,
                &rate,
                &number,
                beta1,
                rest1,
                log1,
                beta2,
                rest2,
                log2,
                solver.epsilon,
                decoupled
            ],
        )?;
        close("means", &gpu.read(&means)?, &m, 2e-6, 1.0)?;
        close("squares", &gpu.read(&squares)?, &v, 2e-6, 1.0)?;
        close("weights", &gpu.read(&weights)?, &w, 4e-6, 1.0)?;
        let expected = if amsgrad { &u } else { &widened(&zeros) };
        close("largest", &gpu.read(&largest)?, expected, 2e-6, 1.0)?;
    }
    let mut want = vec![GAP; LENGTH];
    if has_copy {
        want = in_segments(&F::kept(&gpu.read(&weights)?));
    }
    equal("copy", &gpu.read_f32(&copy)?, &want)
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for kind in KINDS {
        steps::<F>(gpu, kind, true, 256)?;
        steps::<F>(gpu, kind, false, 96)?;
    }
    steps::<F>(gpu, KINDS[1], true, 1024)
}

pub fn every_case_f32(gpu: &Gpu) -> Outcome {
    every_case::<f32>(gpu)
}

#[test]
fn f32_gradients() {
    gpu::run("adam", every_case_f32);
}

#[test]
fn bf16_gradients() {
    gpu::run("adam", every_case::<u16>);
}
