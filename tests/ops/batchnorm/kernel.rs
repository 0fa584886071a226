use crate::gpu::{self, Buffer, Float, Gpu, Outcome, close};
use crate::gradient_check::noise;
use bcreid::ops::batchnorm::EPS;
use softcuda::{Arg, Element, Launch, args};

const MOMENTUM: f32 = 0.1;
/// The rectifier's mask in the backward pass: `batchnorm::Mask`.
const OFF: i32 = 0;
const OUTPUT: i32 = 1;
const RECOMPUTED: i32 = 2;

/// The shape of the input, how a grid covers it, and how far the values lie from 0 (in deviations).
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    c: usize,
    /// Threads of a block over channels and over rows.
    block: (u32, u32),
    rows_a_chunk: usize,
    offset: f32,
}

const SIZES: [Sizes; 6] = [
    Sizes { rows: 2, c: 1, block: (32, 1), rows_a_chunk: 2, offset: 0.0 },
    Sizes { rows: 37, c: 5, block: (8, 4), rows_a_chunk: 10, offset: 3.0 },
    Sizes { rows: 100, c: 8, block: (2, 16), rows_a_chunk: 33, offset: 0.0 },
    Sizes { rows: 259, c: 64, block: (16, 16), rows_a_chunk: 64, offset: -1.0 },
    Sizes { rows: 33, c: 130, block: (32, 8), rows_a_chunk: 7, offset: 1000.0 },
    Sizes { rows: 3, c: 2048, block: (32, 4), rows_a_chunk: 3, offset: 0.0 },
];

impl Sizes {
    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.rows_a_chunk)
    }

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
}

/// One layer on one input, as f64 after rounding to the type under test.
struct Case {
    sizes: Sizes,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Option<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    running: [Vec<f32>; 2],
    batch: bool,
    relu: bool,
}

impl Case {
    fn noise<F: Float>(sizes: Sizes, batch: bool, residual: bool, relu: bool) -> Self {
        let (n, c) = (sizes.rows * sizes.c, sizes.c);
        let x: Vec<f32> = noise(1, n).iter().map(|v| v + sizes.offset).collect();
        Case {
            sizes,
            x: F::kept(&x),
            dy: F::kept(&noise(2, n)),
            residual: residual.then(|| F::kept(&noise(3, n))),
            gamma: noise(4, c),
            beta: noise(5, c),
            running: [noise(6, c), noise(7, c).iter().map(|v| v * v + 0.5).collect()],
            batch,
            relu,
        }
    }

    /// Mean and biased variance of every channel.
    fn moments(&self) -> Vec<[f64; 2]> {
        let (rows, c) = (self.sizes.rows as f64, self.sizes.c);
        (0..c)
            .map(|i| {
                if !self.batch {
                    return [self.running[0][i], self.running[1][i]].map(f64::from);
                }
                let column = || self.x.iter().skip(i).step_by(c).map(|&v| f64::from(v));
                let mean = column().sum::<f64>() / rows;
                [mean, column().map(|v| (v - mean).powi(2)).sum::<f64>() / rows]
            })
            .collect()
    }

    fn normalised(&self, moments: &[[f64; 2]]) -> Vec<f64> {
        let c = self.sizes.c;
        let value = |(i, &x): (usize, &f32)| {
            let [mean, var] = moments[i % c];
            (f64::from(x) - mean) / (var + f64::from(EPS)).sqrt()
        };
        self.x.iter().enumerate().map(value).collect()
    }

    fn output(&self, normalised: &[f64]) -> Vec<f64> {
        let c = self.sizes.c;
        let value = |(i, x): (usize, &f64)| {
            let residual = self.residual.as_ref().map_or(0.0, |r| f64::from(r[i]));
            let y = f64::from(self.gamma[i % c]) * x + f64::from(self.beta[i % c]) + residual;
            if self.relu { y.max(0.0) } else { y }
        };
        normalised.iter().enumerate().map(value).collect()
    }

    /// dbeta, dgamma and dx for the masked gradient `g`.
    fn gradients(&self, g: &[f64], normalised: &[f64], moments: &[[f64; 2]]) -> [Vec<f64>; 3] {
        let (rows, c) = (self.sizes.rows as f64, self.sizes.c);
        let sum = |values: &dyn Fn(usize) -> f64| {
            (0..c).map(|i| (i..g.len()).step_by(c).map(values).sum::<f64>()).collect::<Vec<f64>>()
        };
        let dbeta = sum(&|i| g[i]);
        let dgamma = sum(&|i| g[i] * normalised[i]);
        let dx = (0..g.len())
            .map(|i| {
                let scale = f64::from(self.gamma[i % c]) / (moments[i % c][1] + f64::from(EPS)).sqrt();
                let correction = (dbeta[i % c] + normalised[i] * dgamma[i % c]) / rows;
                scale * (g[i] - if self.batch { correction } else { 0.0 })
            })
            .collect();
        [dbeta, dgamma, dx]
    }

    /// Forward and backward; the mask of the backward pass is made from the output, or from x where that can be.
    fn check<F: Float>(&self, gpu: &Gpu, mask: i32) -> Outcome {
        let Sizes { rows, c, rows_a_chunk, .. } = self.sizes;
        let width = self.sizes.width::<F>();
        let kernel = |stem: &str| format!("batchnorm_{stem}_{}", F::NAME);
        let x = gpu.upload_as::<F>("x", &self.x)?;
        let (gamma, beta) = (gpu.upload("gamma", &self.gamma)?, gpu.upload("beta", &self.beta)?);
        let running =
            [gpu.upload("running mean", &self.running[0])?, gpu.upload("running var", &self.running[1])?];
        let table = gpu.unwritten::<f32>("table", 5 * c)?;
        let by_channel = self.sizes.launch(1, 1);
        let moments = self.moments();
        if self.batch {
            let chunks = gpu.unwritten::<f32>("chunks", self.sizes.chunks() * 3 * c)?;
            let launch = self.sizes.launch(width, self.sizes.chunks());
            let arguments = args![&x, &chunks, rows as u64, c as i32, rows_a_chunk as i32];
            gpu.launch(&kernel("moments"), launch, arguments)?;
            let [mean, var] = &running;
            #[rustfmt::skip]
            let arguments = args![
                &chunks, &gamma, &beta, mean, var, &table, MOMENTUM, rows as u64, c as i32, rows_a_chunk as i32
            ];
            gpu.launch("batchnorm_statistics", by_channel, arguments)?;
            let unbiased = rows as f64 / (rows as f64 - 1.0);
            for (what, i, factor) in [("mean", 0, 1.0), ("var", 1, unbiased)] {
                let blend = |(&old, new): (&f32, &[f64; 2])| {
                    f64::from(old) * (1.0 - f64::from(MOMENTUM)) + f64::from(MOMENTUM) * new[i] * factor
                };
                let want: Vec<f64> = self.running[i].iter().zip(&moments).map(blend).collect();
                close(what, &gpu.read(&running[i])?, &want, 2e-6, 1.0)?;
            }
        } else {
            let arguments = args![&running[0], &running[1], &gamma, &beta, &table, c as i32];
            gpu.launch("batchnorm_frozen", Launch::new(2, 32), arguments)?;
        }

        let residual = self.residual.as_ref().map(|r| gpu.upload_as::<F>("residual", r)).transpose()?;
        let y = gpu.unwritten::<F>("y", rows * c)?;
        let walk = self.sizes.launch(width, 2);
        let relu = i32::from(self.relu);
        let arguments = args![&x, &table, or_null(residual.as_ref()), &y, relu, rows as u64, c as i32];
        gpu.launch(&kernel("forward"), walk, arguments)?;
        let normalised = self.normalised(&moments);
        // An offset of k deviations costs x k units in the last place before anything is computed.
        let noise_of_x = 1e-6 * f64::from(1.0 + self.sizes.offset.abs() / 100.0);
        let ys = gpu.read_f32(&y)?;
        close("y", &ys, &self.output(&normalised), 10.0 * noise_of_x + F::ROUNDING, 1.0)?;

        let dy = gpu.upload_as::<F>("dy", &self.dy)?;
        let open = |(&dy, &y): (&f32, &f32)| if self.relu && y <= 0.0 { 0.0 } else { f64::from(dy) };
        let g: Vec<f64> = self.dy.iter().zip(&ys).map(open).collect();
        let [want_dbeta, want_dgamma, want_dx] = self.gradients(&g, &normalised, &moments);
        let chunks = gpu.unwritten::<f32>("chunks", self.sizes.chunks() * 2 * c)?;
        let output = or_null((mask == OUTPUT).then_some(&y));
        let mask_dy = i32::from(mask == OUTPUT && self.residual.is_some());
        let launch = self.sizes.launch(width, self.sizes.chunks());
        #[rustfmt::skip]
        let arguments = args![
            &dy, &x, output, &table, &chunks, mask, mask_dy, rows as u64, c as i32, rows_a_chunk as i32
        ];
        gpu.launch(&kernel("backward_sums"), launch, arguments)?;
        // dgamma is added to what is there, dbeta overwrites it.
        let (dgamma, dbeta) = (gpu.upload("dgamma", &vec![10.0f32; c])?, gpu.unwritten::<f32>("dbeta", c)?);
        let correction = gpu.unwritten::<f32>("correction", 2 * c)?;
        let sizes = self.sizes.chunks() as i32;
        let arguments =
            args![&chunks, &table, &dgamma, 1i32, &dbeta, 0i32, &correction, rows as u64, c as i32, sizes];
        gpu.launch("batchnorm_backward_parameters", by_channel, arguments)?;
        let floor = (rows as f64).sqrt();
        close("dbeta", &gpu.read(&dbeta)?, &want_dbeta, 1e-6, floor)?;
        let shifted: Vec<f64> = want_dgamma.iter().map(|v| v + 10.0).collect();
        close("dgamma", &gpu.read(&dgamma)?, &shifted, 10.0 * noise_of_x, floor + 10.0)?;
        let mask = if mask_dy == 1 {
            let masked: Vec<f32> = g.iter().map(|&v| v as f32).collect();
            gpu::equal("masked dy", &gpu.read_f32(&dy)?, &masked)?;
            OFF
        } else {
            mask
        };
        let output = or_null((mask == OUTPUT).then_some(&y));
        let correction = or_null(self.batch.then_some(&correction));
        // Where x is needed dx takes its place, else that of dy.
        let dx = if self.batch { &x } else { &dy };
        let arguments = args![&dy, &x, output, &table, correction, dx, mask, rows as u64, c as i32];
        gpu.launch(&kernel("backward_input"), walk, arguments)?;
        let scale =
            self.gamma.iter().zip(&moments).map(|(g, m)| f64::from(g.abs()) / (m[1] + f64::from(EPS)).sqrt());
        let largest = scale.fold(1.0, f64::max);
        close("dx", &gpu.read_f32(dx)?, &want_dx, 10.0 * noise_of_x + F::ROUNDING, largest)
    }
}

fn or_null<T: Element>(buffer: Option<&Buffer<T>>) -> Arg {
    buffer.map_or(Arg::Pointer(0), Arg::from)
}

fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for sizes in SIZES {
        for (batch, residual, relu) in [
            (true, false, false),
            (true, false, true),
            (true, true, false),
            (true, true, true),
            (false, true, true),
            (false, false, true),
        ] {
            let case = Case::noise::<F>(sizes, batch, residual, relu);
            let masks: &[i32] = match (relu, residual) {
                (false, _) => &[OFF],
                (true, true) => &[OUTPUT],
                (true, false) => &[OUTPUT, RECOMPUTED],
            };
            for &mask in masks {
                case.check::<F>(gpu, mask).map_err(|error| {
                    format!("{sizes:?} batch {batch} residual {residual} relu {relu} mask {mask}: {error}")
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn f32() {
    gpu::run("batchnorm", every_case::<f32>);
}

#[test]
fn bf16() {
    gpu::run("batchnorm", every_case::<u16>);
}
