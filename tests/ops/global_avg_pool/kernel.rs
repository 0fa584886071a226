use crate::gpu::{self, Float, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

struct Case {
    n: usize,
    positions: usize,
    c: usize,
    /// Blocks an image.
    blocks: u32,
    block: u32,
}

impl Case {
    /// Of `x` `[n, positions, c]`.
    fn forward<F: Float>(&self, gpu: &Gpu, x: &[f32]) -> Outcome {
        let Case { n, positions, c, blocks, block } = *self;
        let kept = F::kept(x);
        let mut want = Vec::new();
        // The largest sum of magnitudes among the means: what the rounding of a sum is relative to.
        let mut floor = f64::MIN_POSITIVE;
        for image in kept.chunks(positions * c) {
            for channel in 0..c {
                let values = image.iter().skip(channel).step_by(c).map(|&v| f64::from(v));
                want.push(values.clone().sum::<f64>() / positions as f64);
                floor = floor.max(values.map(f64::abs).sum::<f64>() / positions as f64);
            }
        }
        let x = gpu.upload_as::<F>("x", x)?;
        let y = gpu.unwritten::<f32>("y", n * c)?;
        let launch = Launch::new((n as u32, blocks), block);
        let arguments = args![&x, &y, positions as i32, c as i32];
        gpu.launch(&format!("global_avg_pool_forward_{}", F::NAME), launch, arguments)?;
        // A warp adds up to `positions` values one after another, each time rounding by half a unit at most; the sum
        // over warps and the division add a few more. Rounding errors of either sign never all agree, so their root.
        let tolerance = 6e-8 * (4.0 + 2.0 * (positions as f64).sqrt());
        close("y", &gpu.read(&y)?, &want, tolerance, floor)
    }

    /// Bit for bit: one product and, to accumulate, one sum.
    fn backward<F: Float>(&self, gpu: &Gpu, dy: &[f32]) -> Outcome {
        let Case { n, positions, c, blocks, block } = *self;
        let share = 1.0 / positions as f32;
        let rows = dy.chunks(c).flat_map(|row| std::iter::repeat_n(row, positions));
        let want: Vec<f32> = rows.flatten().map(|dy| dy * share).collect();
        let dy = gpu.upload("dy", dy)?;
        let kernel = format!("global_avg_pool_backward_{}", F::NAME);
        let launch = Launch::new((n as u32, blocks), block);
        let dx = gpu.unwritten::<F>("dx", want.len())?;
        gpu.launch(&kernel, launch, args![&dy, &dx, 0, positions as i32, c as i32])?;
        equal("dx", &gpu.read_f32(&dx)?, &F::kept(&want))?;

        let old = F::kept(&noise(5, want.len()));
        let sum: Vec<f32> = old.iter().zip(&want).map(|(old, dx)| old + dx).collect();
        let dx = gpu.upload_as::<F>("dx", &old)?;
        gpu.launch(&kernel, launch, args![&dy, &dx, 1, positions as i32, c as i32])?;
        equal("dx added to what was there", &gpu.read_f32(&dx)?, &F::kept(&sum))
    }
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for (n, positions, c, blocks, block) in [
        // One of everything; one channel at a time; packs in one type; packs in both.
        (1, 1, 1, 1, 32),
        (3, 32, 37, 1, 96),
        (2, 7, 132, 2, 64),
        (2, 32, 264, 3, 256),
        // As in training, and with fewer blocks than tiles, so that a block does several.
        (2, 32, 2048, 8, 256),
        (1, 9, 1032, 2, 128),
        (1, 5, 77, 1, 224),
        // More blocks than there is work for; fewer positions than warps.
        (2, 3, 8, 9, 256),
        (1, 1, 4096, 4, 256),
        (1, 3, 4095, 4, 160),
        (1024, 2, 5, 1, 32),
        (1, 1000, 16, 1, 256),
    ] {
        let case = Case { n, positions, c, blocks, block };
        let x = noise(c as u64, n * positions * c);
        // As features are after ReLU, around 0, and one large value among small ones.
        case.forward::<F>(gpu, &x.iter().map(|v| v.max(0.0)).collect::<Vec<_>>())?;
        case.forward::<F>(gpu, &x.iter().map(|v| v.powi(9) * 1e4).collect::<Vec<_>>())?;
        case.backward::<F>(gpu, &noise(3, n * c))?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("global_avg_pool", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("global_avg_pool", every_case::<u16>);
}

/// Zeros stay zeros, equal values their own mean, and a NaN shows in its channel alone.
#[test]
fn extremes() {
    gpu::run("global_avg_pool", |gpu| {
        let means = |x: &[f32]| {
            let (x, y) = (gpu.upload("x", x)?, gpu.unwritten::<f32>("y", 6)?);
            let launch = Launch::new((2, 1), 64);
            gpu.launch("global_avg_pool_forward_f32", launch, args![&x, &y, 4, 3])?;
            gpu.read(&y)
        };
        equal("zeros", &means(&[0.0; 24])?, &[0.0; 6])?;
        equal("ones", &means(&[1e4; 24])?, &[1e4; 6])?;
        let mut x = [1.0; 24];
        x[10] = f32::NAN;
        equal("with a NaN", &means(&x)?, &[1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0])
    });
}
