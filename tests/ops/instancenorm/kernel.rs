use crate::gpu::{self, Float, Gpu, Outcome, close};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

const EPS: f64 = 1e-5;

struct Case {
    n: usize,
    positions: usize,
    c: usize,
    /// Blocks an image.
    blocks: u32,
    block: u32,
}

impl Case {
    fn run<F: Float>(&self, gpu: &Gpu) -> Outcome {
        let Case { n, positions, c, blocks, block } = *self;
        let x: Vec<f32> = noise(1, n * positions * c).iter().map(|v| 2.0 * v + 1.0).collect();
        let (gamma, beta, dy) = (noise(2, c), noise(3, c), noise(4, x.len()));
        let (kept, kept_dy) = (F::kept(&x), F::kept(&dy));
        let at = |i: usize, position: usize| (i / c * positions + position) * c + i % c;
        let mean = |i: usize, f: &dyn Fn(usize) -> f64| {
            (0..positions).map(|position| f(at(i, position))).sum::<f64>() / positions as f64
        };
        let means: Vec<f64> = (0..n * c).map(|i| mean(i, &|at| f64::from(kept[at]))).collect();
        let variance = |i: usize| mean(i, &|at| (f64::from(kept[at]) - means[i]).powi(2));
        let factors: Vec<f64> = (0..n * c).map(|i| 1.0 / (variance(i) + EPS).sqrt()).collect();
        let mut y = vec![0.0; x.len()];
        let mut normalised = vec![0.0; x.len()];
        for (i, position) in (0..n * c).flat_map(|i| (0..positions).map(move |position| (i, position))) {
            let at = at(i, position);
            normalised[at] = (f64::from(kept[at]) - means[i]) * factors[i];
            y[at] = f64::from(gamma[i % c]) * normalised[at] + f64::from(beta[i % c]);
        }
        let grid = Launch::new((n as u32, blocks), block);
        let name = |kernel: &str| format!("instancenorm_{kernel}_{}", F::NAME);
        let (positions_, c_) = (positions as i32, c as i32);
        let (x, dy) = (gpu.upload_as::<F>("x", &x)?, gpu.upload_as::<F>("dy", &dy)?);
        let (gamma_, beta_) = (gpu.upload("gamma", &gamma)?, gpu.upload("beta", &beta)?);
        let (statistics, out) =
            (gpu.unwritten::<f32>("statistics", 2 * n * c)?, gpu.unwritten::<F>("y", y.len())?);
        gpu.launch(&name("forward"), grid, args![&x, &gamma_, &beta_, &statistics, &out, positions_, c_])?;
        let stored = if F::NAME == "bf16" { 4e-3 } else { 1e-5 };
        close("y", &gpu.read_f32(&out)?, &y, stored, 1.0)?;
        let both: Vec<f64> = means.iter().chain(&factors).copied().collect();
        close("statistics", &gpu.read(&statistics)?, &both, 2e-6, 1.0)?;

        let sums = gpu.unwritten::<f32>("sums", 2 * n * c)?;
        gpu.launch(&name("backward_sums"), grid, args![&x, &statistics, &dy, &sums, positions_, c_])?;
        let product = |i: usize| mean(i, &|at| f64::from(kept_dy[at]) * normalised[at]) * positions as f64;
        let plain = |i: usize| mean(i, &|at| f64::from(kept_dy[at])) * positions as f64;
        let want: Vec<f64> = (0..n * c).map(product).chain((0..n * c).map(plain)).collect();
        let rounding = 1e-6 * (4.0 + (positions as f64).sqrt());
        close("sums", &gpu.read(&sums)?, &want, rounding, 1.0)?;

        for (which, accumulate) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let old = noise(6, c);
            let gradient = match accumulate {
                0 => gpu.unwritten::<f32>("gradient", c)?,
                _ => gpu.upload("gradient", &old)?,
            };
            let arguments = args![&sums, &gradient, accumulate, which, n as i32, c_];
            gpu.launch("instancenorm_backward_parameter", Launch::new(1, block), arguments)?;
            let total =
                |k: usize| (0..n).map(|image| want[which as usize * n * c + image * c + k]).sum::<f64>();
            let total: Vec<f64> =
                (0..c).map(|k| total(k) + f64::from(accumulate) * f64::from(old[k])).collect();
            close("gradient", &gpu.read(&gradient)?, &total, rounding * (n as f64).sqrt(), 1.0)?;
        }

        let old = F::kept(&noise(7, y.len()));
        for accumulate in [0, 1] {
            let dx = match accumulate {
                0 => gpu.unwritten::<F>("dx", y.len())?,
                _ => gpu.upload_as::<F>("dx", &old)?,
            };
            let arguments = args![&x, &gamma_, &statistics, &sums, &dy, &dx, accumulate, positions_, c_];
            gpu.launch(&name("backward_input"), grid, arguments)?;
            let mut gradient = vec![0.0; y.len()];
            for (i, position) in (0..n * c).flat_map(|i| (0..positions).map(move |position| (i, position))) {
                let at = at(i, position);
                let centred =
                    f64::from(kept_dy[at]) - (want[n * c + i] + normalised[at] * want[i]) / positions as f64;
                gradient[at] = f64::from(gamma[i % c]) * factors[i] * centred
                    + f64::from(accumulate) * f64::from(old[at]);
            }
            // Small variances of few positions have large factors.
            let largest = factors.iter().fold(1.0f64, |a, b| a.max(*b));
            close("dx", &gpu.read_f32(&dx)?, &gradient, stored, largest)?;
        }
        Ok(())
    }
}

pub fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for (n, positions, c, blocks, block) in [
        (1, 2, 1, 1, 32),
        (3, 32, 37, 2, 96),
        (2, 7, 132, 2, 64),
        // Fewer blocks than tiles of channels; more blocks than there is work for.
        (2, 33, 200, 2, 256),
        (2, 3, 8, 5, 256),
        (40, 4, 5, 1, 32),
        (1, 700, 16, 1, 256),
    ] {
        Case { n, positions, c, blocks, block }.run::<F>(gpu)?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("instancenorm", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("instancenorm", every_case::<u16>);
}
