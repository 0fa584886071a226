use crate::gpu::{self, Float, Gpu, Outcome, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

fn check<F: Float>(gpu: &Gpu, a: &[f32], b: &[f32], launch: Launch) -> Outcome {
    let n = a.len();
    let kernel = format!("add_forward_{}", F::NAME);
    let sum = |a: &[f32], b: &[f32]| F::kept(&a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<_>>());
    let (a_kept, b_kept) = (F::kept(a), F::kept(b));
    let want = sum(&a_kept, &b_kept);

    let (a, b) = (gpu.upload_as::<F>("a", a)?, gpu.upload_as::<F>("b", b)?);
    let y = gpu.unwritten::<F>("y", n)?;
    gpu.launch(&kernel, launch, args![&a, &b, &y, n as u64])?;
    equal("y", &gpu.read_f32(&y)?, &want)?;
    gpu.launch(&kernel, launch, args![&a, &b, &a, n as u64])?;
    equal("y in place of a", &gpu.read_f32(&a)?, &want)?;
    gpu.launch(&kernel, launch, args![&y, &b, &b, n as u64])?;
    equal("y in place of b", &gpu.read_f32(&b)?, &sum(&want, &b_kept))?;
    gpu.launch(&kernel, launch, args![&y, &y, &y, n as u64])?;
    equal("y in place of both", &gpu.read_f32(&y)?, &sum(&want, &want))
}

/// Noise of very different sizes, so that sums round.
fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for n in [1, 3, 4, 7, 8, 9, 1023, 20_011] {
        let b: Vec<f32> =
            noise(2, n).into_iter().enumerate().map(|(i, v)| v * 10f32.powi(i as i32 % 9 - 4)).collect();
        for launch in [Launch::new(1, 32), Launch::new(3, 96), Launch::new(7, 256)] {
            check::<F>(gpu, &noise(1, n), &b, launch)?;
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("add", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("add", every_case::<u16>);
}

/// Overflow, cancellation, infinities against each other, NaN.
#[test]
fn extremes() {
    gpu::run("add", |gpu| {
        let (inf, max) = (f32::INFINITY, f32::MAX);
        let a = [max, 1.5, inf, inf, f32::NAN, 1e-40, 0.0, -max, 1.0];
        let b = [max, -1.5, 1.0, -inf, 1.0, 1e-40, 0.0, -max, 1e-9];
        check::<f32>(gpu, &a, &b, Launch::new(1, 32))?;
        check::<u16>(gpu, &a, &b, Launch::new(1, 32))
    });
}
