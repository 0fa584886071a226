//! A bias is part of the operations `conv2d` and `linear`, which are tested with it: the kernels of `cuda/bias.cu` by
//! themselves, in other blocks and chunks.

use crate::gpu::{self, Float, Gpu, Outcome, close, equal};
use crate::gradient_check::noise;
use softcuda::{Launch, args};

/// The shape of y, and how a grid covers it.
#[derive(Clone, Copy, Debug)]
struct Case {
    rows: usize,
    c: usize,
    /// Threads of a block over channels and over rows.
    block: (u32, u32),
    rows_a_chunk: usize,
}

impl Case {
    /// A launch of blocks over channels, `width` a thread, and `rows` blocks over rows.
    fn launch(&self, width: usize, rows: usize) -> Launch {
        let columns = self.c.div_ceil(width * self.block.0 as usize);
        Launch::new((columns as u32, rows as u32), self.block)
    }

    /// Elements of `F` that a thread handles at a time.
    fn width<F: Float>(&self) -> usize {
        let pack = 16 / size_of::<F>();
        if self.c.is_multiple_of(pack) { pack } else { 1 }
    }

    /// Bit for bit: one sum.
    fn forward<F: Float>(&self, gpu: &Gpu, y: &[f32], b: &[f32]) -> Outcome {
        let want: Vec<f32> = F::kept(y).iter().zip(b.iter().cycle()).map(|(y, b)| y + b).collect();
        let (y, b) = (gpu.upload_as::<F>("y", y)?, gpu.upload("b", b)?);
        let arguments = args![&y, &b, self.rows as u64, self.c as i32];
        let launch = self.launch(self.width::<F>(), 3);
        gpu.launch(&format!("bias_forward_{}", F::NAME), launch, arguments)?;
        equal("y", &gpu.read_f32(&y)?, &F::kept(&want))
    }

    /// db, written and then added to `old`.
    fn gradients<F: Float>(&self, gpu: &Gpu, dy: &[f32], old: &[f32]) -> Outcome<[Vec<f32>; 2]> {
        let Case { rows, c, rows_a_chunk, .. } = *self;
        let count = rows.div_ceil(rows_a_chunk);
        let (dy, chunks) = (gpu.upload_as::<F>("dy", dy)?, gpu.unwritten::<f32>("chunks", count * c)?);
        let arguments = args![&dy, &chunks, rows as u64, c as i32, rows_a_chunk as i32];
        let launch = self.launch(self.width::<F>(), count);
        gpu.launch(&format!("bias_gradient_sums_{}", F::NAME), launch, arguments)?;
        let (written, added) = (gpu.unwritten::<f32>("db", c)?, gpu.upload("db", old)?);
        for (db, accumulate) in [(&written, 0), (&added, 1)] {
            let arguments = args![&chunks, db, accumulate, c as i32, count as i32];
            gpu.launch("bias_gradient", self.launch(1, 1), arguments)?;
        }
        Ok([gpu.read(&written)?, gpu.read(&added)?])
    }

    fn backward<F: Float>(&self, gpu: &Gpu, dy: &[f32]) -> Outcome {
        let old = noise(7, self.c);
        let [written, added] = self.gradients::<F>(gpu, dy, &old)?;
        let kept = F::kept(dy);
        let column = |i| kept.iter().skip(i).step_by(self.c).map(|&v| f64::from(v));
        let want: Vec<f64> = (0..self.c).map(|i| column(i).sum()).collect();
        // What the rounding of a sum is relative to: the largest sum of magnitudes.
        let magnitude = (0..self.c).map(|i| column(i).map(f64::abs).sum()).fold(1.0, f64::max);
        // A thread adds its rows of a chunk one after another and a column's threads meet in f32, each time rounding by
        // half a unit at most. Rounding errors of either sign never all agree, so their root; the rest is f64.
        let down = self.block.1 as usize;
        let additions = self.rows.min(self.rows_a_chunk).div_ceil(down) + down;
        let tolerance = 6e-8 * (2.0 + (additions as f64).sqrt());
        close("db", &written, &want, tolerance, magnitude)?;
        let sum: Vec<f32> = old.iter().zip(&written).map(|(old, db)| old + db).collect();
        equal("db added to what was there", &added, &sum)
    }
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for (rows, c, block, rows_a_chunk) in [
        // One of everything; packs in neither type, in one, in both.
        (1, 1, (32, 1), 1),
        (37, 5, (8, 4), 10),
        (101, 12, (2, 16), 33),
        (259, 64, (16, 16), 64),
        // The classifier of a batch; the last stage of a ResNet; the first one, with few pixels.
        (16, 751, (32, 8), 32),
        (512, 2048, (32, 8), 32),
        (1030, 64, (8, 32), 256),
        // More threads than rows; chunks of one row; one chunk of all.
        (3, 130, (16, 14), 100),
        (77, 9, (32, 1), 1),
        (5003, 3, (4, 64), 5003),
    ] {
        let case = Case { rows, c, block, rows_a_chunk };
        let x = noise(c as u64, rows * c);
        let all = || -> Outcome {
            case.forward::<F>(gpu, &x, &noise(2, c))?;
            // Around 0; all of one sign; one large value among small ones.
            case.backward::<F>(gpu, &x)?;
            case.backward::<F>(gpu, &x.iter().map(|v| v.abs()).collect::<Vec<_>>())?;
            case.backward::<F>(gpu, &x.iter().map(|v| v.powi(9) * 1e4).collect::<Vec<_>>())
        };
        all().map_err(|error| format!("{case:?}: {error}"))?;
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("bias", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("bias", every_case::<u16>);
}

/// Overflow, cancellation, infinities against each other, and NaN, each in its own channel.
#[test]
fn extremes() {
    gpu::run("bias", |gpu| {
        let (inf, max) = (f32::INFINITY, f32::MAX);
        let case = Case { rows: 2, c: 6, block: (8, 4), rows_a_chunk: 1 };
        let dy = [f32::NAN, inf, inf, max, 1.5, 1e-40, 1.0, -inf, 1.0, max, -1.5, 1e-40];
        case.forward::<f32>(gpu, &dy, &[1.0, inf, -inf, max, -1.5, 1e-40])?;
        case.forward::<u16>(gpu, &dy, &[1.0, inf, -inf, max, -1.5, 1e-40])?;
        let want = [f32::NAN, f32::NAN, inf, inf, 0.0, 2.0 * 1e-40];
        let [written, added] = case.gradients::<f32>(gpu, &dy, &[1.0; 6])?;
        equal("db", &written, &want)?;
        equal("db added to ones", &added, &want.map(|db| db + 1.0))
    });
}
