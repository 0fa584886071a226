use crate::gpu::{self, Float, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

const EPS: f32 = 1e-6;

struct Case {
    n: usize,
    positions: usize,
    c: usize,
    /// Blocks an image.
    blocks: u32,
    block: u32,
    p: f32,
}

impl Case {
    fn at(&self, i: usize, position: usize) -> usize {
        (i / self.c * self.positions + position) * self.c + i % self.c
    }

    /// Mean over the positions of channel `i` of n c.
    fn mean(&self, x: &[f32], i: usize, f: impl Fn(f64) -> f64) -> f64 {
        let values = (0..self.positions).map(|position| f64::from(x[self.at(i, position)].max(EPS)));
        values.map(f).sum::<f64>() / self.positions as f64
    }

    /// All kernels, one after the other, on `x` `[n, positions, c]`.
    fn run<F: Float>(&self, gpu: &Gpu, x: &[f32]) -> Outcome {
        let Case { n, positions, c, blocks, block, p } = *self;
        let (kept, exponent) = (F::kept(x), f64::from(p));
        let want: Vec<f64> =
            (0..n * c).map(|i| self.mean(&kept, i, |v| v.powf(exponent)).powf(1.0 / exponent)).collect();
        let grid = Launch::new((n as u32, blocks), block);
        let sizes = |kernel: &str| format!("gem_{kernel}_{}", F::NAME);
        let x = gpu.upload_as::<F>("x", x)?;
        let p = gpu.upload("p", &[p])?;
        let y = gpu.unwritten::<f32>("y", n * c)?;
        gpu.launch(&sizes("forward"), grid, args![&x, &p, &y, positions as i32, c as i32])?;
        // Powers are off by a few units in the last place, and the sums by the root of their number.
        let tolerance = 4e-7 * (4.0 + (positions as f64).sqrt());
        close("y", &gpu.read(&y)?, &want, tolerance, f64::from(EPS))?;

        let y: Vec<f32> = want.iter().map(|y| *y as f32).collect();
        let dy = noise(3, n * c);
        let mut gradient = vec![0.0; n * positions * c];
        for i in 0..n * c {
            for at in (0..positions).map(|position| self.at(i, position)).filter(|at| kept[*at] >= EPS) {
                let ratio = f64::from(kept[at]) / f64::from(y[i]);
                gradient[at] = f64::from(dy[i]) * ratio.powf(exponent - 1.0) / positions as f64;
            }
        }
        let (y, dy_buffer) = (gpu.upload("y", &y)?, gpu.upload("dy", &dy)?);
        let old = F::kept(&noise(5, gradient.len()));
        let added: Vec<f64> = gradient.iter().zip(&old).map(|(dx, old)| dx + f64::from(*old)).collect();
        // bf16 rounds what is stored.
        let tolerance = if F::NAME == "bf16" { 4e-3 } else { 4e-6 };
        for (accumulate, want) in [(0, &gradient), (1, &added)] {
            let dx = match accumulate {
                0 => gpu.unwritten::<F>("dx", old.len())?,
                _ => gpu.upload_as::<F>("dx", &old)?,
            };
            let arguments = args![&x, &p, &y, &dy_buffer, &dx, accumulate, positions as i32, c as i32];
            gpu.launch(&sizes("backward_input"), grid, arguments)?;
            close("dx", &gpu.read_f32(&dx)?, want, tolerance, 1.0)?;
        }

        let parts = gpu.unwritten::<f32>("parts", n * c)?;
        let arguments = args![&x, &p, &y, &dy_buffer, &parts, positions as i32, c as i32];
        gpu.launch(&sizes("backward_exponent"), grid, arguments)?;
        let want: Vec<f64> = (0..n * c)
            .map(|i| {
                let y = f64::from(self.mean(&kept, i, |v| v.powf(exponent)).powf(1.0 / exponent) as f32);
                let slope = self.mean(&kept, i, |v| (v / y).powf(exponent) * (v / y).ln());
                f64::from(dy[i]) * y / exponent * slope
            })
            .collect();
        close("parts", &gpu.read(&parts)?, &want, 1e-5, 1.0)?;

        let values = gpu.read(&parts)?;
        let total: f64 = values.iter().map(|v| f64::from(*v)).sum();
        let size: f64 = values.iter().map(|v| f64::from(v.abs())).sum();
        for (accumulate, old) in [(0, 0.0), (1, 0.25f32)] {
            let dp = match accumulate {
                0 => gpu.unwritten::<f32>("dp", 1)?,
                _ => gpu.upload("dp", &[old])?,
            };
            let one = Launch::new(1, block);
            gpu.launch("gem_exponent", one, args![&parts, &dp, accumulate, (n * c) as i32])?;
            close("dp", &gpu.read(&dp)?, &[total + f64::from(old)], 1e-6, size.max(1.0))?;
        }
        Ok(())
    }
}

pub fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for (n, positions, c, blocks, block, p) in [
        (1, 1, 1, 1, 32, 3.0),
        (3, 32, 37, 1, 96, 3.0),
        (2, 7, 132, 2, 64, 1.0),
        // As in training, and fewer threads than channels, so that a thread has several.
        (2, 32, 512, 2, 256, 3.0),
        (2, 9, 515, 2, 128, 2.5),
        // More blocks than there is work for.
        (2, 3, 8, 9, 256, 4.0),
        (70, 2, 5, 1, 32, 6.0),
        (1, 500, 16, 1, 256, 3.5),
    ] {
        let case = Case { n, positions, c, blocks, block, p };
        let x: Vec<f32> = noise(c as u64, n * positions * c).iter().map(|v| 2.0 * v.max(0.0)).collect();
        case.run::<F>(gpu, &x)?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("gem", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("gem", every_case::<u16>);
}

/// Zeros give the least value, equal values their own mean, and a NaN shows in its channel alone.
#[test]
fn extremes() {
    gpu::run("gem", |gpu| {
        let means = |x: &[f32]| {
            let (x, y) = (gpu.upload("x", x)?, gpu.unwritten::<f32>("y", 6)?);
            let p = gpu.upload("p", &[3.0f32])?;
            gpu.launch("gem_forward_f32", Launch::new((2, 1), 64), args![&x, &p, &y, 4, 3])?;
            gpu.read(&y)
        };
        close("zeros", &means(&[0.0; 24])?, &[1e-6; 6], 1e-6, 1e-12)?;
        equal("ones", &means(&[1e30; 24])?, &[1e30; 6])?;
        let mut x = [1.0; 24];
        x[10] = f32::NAN;
        equal("with a NaN", &means(&x)?, &[1.0, f32::NAN, 1.0, 1.0, 1.0, 1.0])
    });
}
