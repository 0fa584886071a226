use super::both;
use crate::gpu::{self, Gpu, Outcome, close};
use crate::gradient_check::noise;
use bcreid::device::Device;
use softcuda::{Launch, args};

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// Against the CPU, whose sums are f64.
fn check(gpu: &Gpu, d: usize, x: &[f32], dy: &[f32], block: u32) -> Outcome {
    let m = x.len() / d;
    let [want, gradient] = both(&Device::cpu(), [m, d], x, dy, None);
    let lengths: Vec<f64> =
        x.chunks(d).map(|row| row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt()).collect();

    let launch = Launch::new(m as u32, block);
    let (x, y) = (gpu.upload("x", x)?, gpu.unwritten::<f32>("y", x.len())?);
    let norms = gpu.unwritten::<f32>("norms", m)?;
    gpu.launch("l2_normalize_forward_f32", launch, args![&x, &y, &norms, d as i32])?;
    // A thread adds at most 4096 / 32 squares one by one: 128 roundings of 6e-8, most of which cancel.
    // Below the bound of 1e-12 the length decides nothing.
    close("norms", &gpu.read(&norms)?, &lengths, 2e-6, 1e-12)?;
    let apart = gpu.read(&y)?;
    close("y", &apart, &f64s(&want), 2e-6, 0.0)?;
    gpu.launch("l2_normalize_forward_f32", launch, args![&x, &x, &norms, d as i32])?;
    if gpu.read(&x)? != apart {
        return Err("y in place of x differs".into());
    }

    let (gradients, dx) = (gpu.upload("dy", dy)?, gpu.unwritten::<f32>("dx", dy.len())?);
    gpu.launch("l2_normalize_backward_f32", launch, args![&y, &norms, &gradients, &dx, d as i32])?;
    let apart = gpu.read(&dx)?;
    for (row, length) in lengths.iter().enumerate() {
        let row = row * d..(row + 1) * d;
        // What remains of dy when its radial part is taken off has the errors of the whole dy.
        let whole =
            dy[row.clone()].iter().fold(0.0, |a: f64, &v| a.max(f64::from(v).abs())) / length.max(1e-12);
        close("dx", &apart[row.clone()], &f64s(&gradient[row]), 3e-6, whole)?;
    }
    let aliased = args![&y, &norms, &gradients, &gradients, d as i32];
    gpu.launch("l2_normalize_backward_f32", launch, aliased)?;
    if gpu.read(&gradients)? != apart {
        return Err("dx in place of dy differs".into());
    }
    Ok(())
}

/// Noise, peaked as well as flat.
#[test]
fn noise_of_every_size() {
    gpu::run("l2_normalize", |gpu| {
        for (m, d, block) in [
            (1, 1, 32),
            (3, 2, 64),
            (5, 7, 1024),
            (4, 128, 32),
            (3, 2048, 256),
            (2, 4095, 32),
            (3, 4096, 96),
            (1024, 5, 32),
        ] {
            let dy = noise(2, m * d);
            let x = noise(1, m * d);
            check(gpu, d, &x, &dy, block)?;
            check(gpu, d, &x.iter().map(|v| 5.0 * v.powi(5)).collect::<Vec<_>>(), &dy, block)?;
        }
        let flat = vec![0.5; 3 * 33];
        check(gpu, 33, &flat, &noise(3, 99), 32)?;
        check(gpu, 33, &flat, &flat, 32) // all of dy is radial
    });
}

/// Rows of zeros, at both sides of the bound, and as long as f32 sums allow.
#[test]
fn extreme_lengths() {
    gpu::run("l2_normalize", |gpu| {
        let directions = [3.0, 4.0, 0.0, -0.3, 0.04];
        let lengths = [0.0, 1e-40, 1e-22, 1.9e-13, 2.1e-13, 1e-9, 1e9, 3.6e18];
        let x: Vec<f32> = lengths.iter().flat_map(|length| directions.map(|v| v * length)).collect();
        check(gpu, 5, &x, &noise(1, x.len()), 32)
    });
}

/// One image's NaN or overflow shows in its whole row and nowhere else.
#[test]
fn what_cannot_be_normalised_is_nan() {
    gpu::run("l2_normalize", |gpu| {
        let x = [1.0, f32::NAN, 3e30, 4e30, 1.0, f32::INFINITY, 3.0, 4.0];
        let (x, y) = (gpu.upload("x", &x)?, gpu.unwritten::<f32>("y", 8)?);
        let norms = gpu.unwritten::<f32>("norms", 4)?;
        gpu.launch("l2_normalize_forward_f32", Launch::new(4, 32), args![&x, &y, &norms, 2])?;
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        close("norms", &gpu.read(&norms)?, &[nan, inf, inf, 5.0], 1e-6, 0.0)?;
        close("y", &gpu.read(&y)?, &[nan, nan, nan, nan, nan, nan, 0.6, 0.8], 1e-6, 0.0)?;

        let (dy, dx) = (gpu.upload("dy", &[1.0f32; 8])?, gpu.unwritten::<f32>("dx", 8)?);
        gpu.launch("l2_normalize_backward_f32", Launch::new(4, 32), args![&y, &norms, &dy, &dx, 2])?;
        let want = [nan, nan, nan, nan, nan, nan, (1.0 - 1.4 * 0.6) / 5.0, (1.0 - 1.4 * 0.8) / 5.0];
        close("dx", &gpu.read(&dx)?, &want, 1e-6, 1.0)
    });
}
