use crate::gpu::{self, Buffer, Float, Gpu, Outcome, close};
use crate::gradient_check::noise;
use bcreid::ops::batchnorm::EPS;
use softcuda::{Arg, Element, Launch, args};

const MOMENTUM: f32 = 0.1;
/// The rectifier's mask in the backward pass: `batchnorm::Mask`.
const OFF: i32 = 0;
const OUTPUT: i32 = 1;
const RECOMPUTED: i32 = 2;

/// The phases of a launch.
const SUMS: i32 = 1;
const APPLY: i32 = 2;
const BOTH: i32 = 3;

/// The shape of the input, how tiles and blocks cover it, and how far the values lie from 0 (in deviations).
#[derive(Clone, Copy, Debug)]
struct Sizes {
    rows: usize,
    c: usize,
    /// Threads of a block over channels and over rows.
    block: (u32, u32),
    rows_a_tile: usize,
    offset: f32,
}

const SIZES: [Sizes; 6] = [
    Sizes { rows: 2, c: 1, block: (1, 32), rows_a_tile: 2, offset: 0.0 },
    Sizes { rows: 37, c: 5, block: (8, 4), rows_a_tile: 10, offset: 3.0 },
    Sizes { rows: 100, c: 8, block: (2, 16), rows_a_tile: 33, offset: 0.0 },
    Sizes { rows: 259, c: 64, block: (4, 16), rows_a_tile: 64, offset: -1.0 },
    Sizes { rows: 33, c: 130, block: (32, 8), rows_a_tile: 7, offset: 1000.0 },
    Sizes { rows: 3, c: 2048, block: (8, 4), rows_a_tile: 3, offset: 0.0 },
];

/// How the phases are launched, which changes no bit.
#[derive(Clone, Copy, Debug)]
enum Launches {
    /// One cooperative launch of so many blocks, which keep so many rows of each tile.
    One(usize, usize),
    /// Two launches.
    Two,
}

impl Sizes {
    fn chunks(&self) -> usize {
        self.rows.div_ceil(self.rows_a_tile)
    }

    /// The channels of a thread.
    fn lanes(&self) -> usize {
        if self.c.is_multiple_of(4) { 4 } else { 1 }
    }

    fn tiles(&self) -> usize {
        self.chunks() * self.c.div_ceil(self.lanes() * self.block.0 as usize)
    }

    /// A launch of `blocks` that keep `kept` rows of each of their tiles in `arrays` tensors of `F`.
    fn launch<F: Float>(&self, blocks: usize, kept: usize, arrays: usize) -> Launch {
        let (x, y, lanes) = (self.block.0 as usize, self.block.1 as usize, self.lanes());
        let scratch = 4 * x * (y * (lanes.max(2) + 1) + 5 * lanes);
        let rows = kept * self.tiles().div_ceil(blocks) * arrays;
        Launch::new(blocks as u32, self.block).shared(scratch + rows * x * lanes * size_of::<F>())
    }

    /// Runs a kernel of two phases; `arguments` makes its arguments from phases and kept rows.
    fn run<F: Float>(
        &self,
        gpu: &Gpu,
        kernel: &str,
        arrays: usize,
        launches: Launches,
        arguments: impl Fn(i32, i32) -> Vec<Arg>,
    ) -> Outcome {
        match launches {
            Launches::One(blocks, kept) => {
                let of = |blocks| self.launch::<F>(blocks, kept, arrays).cooperative(blocks as u32);
                let (mut blocks, mut launch) = (blocks, of(blocks));
                // Fewer blocks have more tiles each, and keep the rows of them all: they need more shared memory.
                while (gpu.resident_blocks(kernel, &launch)? as usize) < blocks {
                    blocks = gpu.resident_blocks(kernel, &launch)? as usize;
                    if blocks == 0 {
                        return Err(format!("{kernel}: no block fits on the device").into());
                    }
                    launch = of(blocks);
                }
                gpu.launch(kernel, launch, &arguments(BOTH, kept as i32))?;
            }
            Launches::Two => {
                for phase in [SUMS, APPLY] {
                    let launch = self.launch::<F>(self.tiles(), 0, arrays);
                    gpu.launch(kernel, launch, &arguments(phase, 0))?;
                }
            }
        }
        Ok(())
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

    /// Forward and backward; the mask of the backward pass is made from the output, or from x where that can be. Returns
    /// the bits of y, dx, dgamma, dbeta and the running statistics.
    fn check<F: Float>(&self, gpu: &Gpu, mask: i32, launches: Launches) -> Outcome<Vec<u32>> {
        let Sizes { rows, c, rows_a_tile, .. } = self.sizes;
        let kernel = |stem: &str| format!("batchnorm_{stem}_{}", F::NAME);
        let sizes = args![rows as u64, c as i32, rows_a_tile as i32];
        let x = gpu.upload_as::<F>("x", &self.x)?;
        let (gamma, beta) = (gpu.upload("gamma", &self.gamma)?, gpu.upload("beta", &self.beta)?);
        let [mean, var] =
            [gpu.upload("running mean", &self.running[0])?, gpu.upload("running var", &self.running[1])?];
        let table = gpu.unwritten::<f32>("table", 5 * c)?;
        let residual = self.residual.as_ref().map(|r| gpu.upload_as::<F>("residual", r)).transpose()?;
        let residual = or_null(residual.as_ref());
        let y = gpu.unwritten::<F>("y", rows * c)?;
        let relu = i32::from(self.relu);
        let moments = self.moments();
        if self.batch {
            let chunks = gpu.unwritten::<f32>("chunks", self.sizes.chunks() * 3 * c)?;
            self.sizes.run::<F>(gpu, &kernel("forward"), 1, launches, |phases, kept| {
                #[rustfmt::skip]
                let own = args![
                    &x, &gamma, &beta, &mean, &var, &chunks, &table, residual, &y, MOMENTUM, relu, phases, kept
                ];
                [own.as_slice(), sizes].concat()
            })?;
            let unbiased = rows as f64 / (rows as f64 - 1.0);
            for (what, i, running, factor) in [("mean", 0, &mean, 1.0), ("var", 1, &var, unbiased)] {
                let blend = |(&old, new): (&f32, &[f64; 2])| {
                    f64::from(old) * (1.0 - f64::from(MOMENTUM)) + f64::from(MOMENTUM) * new[i] * factor
                };
                let want: Vec<f64> = self.running[i].iter().zip(&moments).map(blend).collect();
                close(what, &gpu.read(running)?, &want, 2e-6, 1.0)?;
            }
        } else {
            let own = args![&x, &mean, &var, &gamma, &beta, &table, residual, &y, relu];
            let launch = self.sizes.launch::<F>(2, 0, 1);
            gpu.launch(&kernel("frozen"), launch, &[own.as_slice(), sizes].concat())?;
        }
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
        // As the operation: dy is masked in memory for a residual, and where the second phase does not read x.
        let mask_dy =
            i32::from(mask == OUTPUT && self.residual.is_some() || mask == RECOMPUTED && !self.batch);
        // dgamma is added to what is there, dbeta overwrites it.
        let (dgamma, dbeta) = (gpu.upload("dgamma", &vec![10.0f32; c])?, gpu.unwritten::<f32>("dbeta", c)?);
        // Where x is needed dx takes its place, that of dy where that is free, or one of its own.
        let own = gpu.unwritten::<F>("dx", rows * c)?;
        let dx = if self.batch {
            &x
        } else if self.residual.is_none() {
            &dy
        } else {
            &own
        };
        let batch = i32::from(self.batch);
        self.sizes.run::<F>(gpu, &kernel("backward"), 2, launches, |phases, kept| {
            #[rustfmt::skip]
            let own = args![
                &dy, &x, output, &table, &chunks, &dgamma, 1i32, &dbeta, 0i32, dx, batch, mask, mask_dy, phases, kept
            ];
            [own.as_slice(), sizes].concat()
        })?;
        let floor = (rows as f64).sqrt();
        let (dgamma, dbeta) = (gpu.read(&dgamma)?, gpu.read(&dbeta)?);
        close("dbeta", &dbeta, &want_dbeta, 1e-6, floor)?;
        let shifted: Vec<f64> = want_dgamma.iter().map(|v| v + 10.0).collect();
        close("dgamma", &dgamma, &shifted, 10.0 * noise_of_x, floor + 10.0)?;
        if self.residual.is_some() {
            let masked: Vec<f32> = g.iter().map(|&v| v as f32).collect();
            gpu::equal("masked dy", &gpu.read_f32(&dy)?, &masked)?;
        }
        let scale =
            self.gamma.iter().zip(&moments).map(|(g, m)| f64::from(g.abs()) / (m[1] + f64::from(EPS)).sqrt());
        let largest = scale.fold(1.0, f64::max);
        let dx = gpu.read_f32(dx)?;
        close("dx", &dx, &want_dx, 10.0 * noise_of_x + F::ROUNDING, largest)?;
        let all = [ys, dx, dgamma, dbeta, gpu.read(&mean)?, gpu.read(&var)?].concat();
        Ok(all.into_iter().map(f32::to_bits).collect())
    }

    /// The pass without gamma and beta: dx over dy, or beside a masked dy, and that alone.
    fn check_without_parameters<F: Float>(&self, gpu: &Gpu) -> Outcome {
        let Sizes { rows, c, rows_a_tile, .. } = self.sizes;
        let sizes = args![rows as u64, c as i32, rows_a_tile as i32];
        let table: Vec<f32> = [noise(1, c), vec![0.0; c], vec![1.0; c], noise(8, c), noise(9, c)].concat();
        let y = F::kept(&noise(3, rows * c));
        let g: Vec<f32> = self.dy.iter().zip(&y).map(|(&dy, &y)| if y <= 0.0 { 0.0 } else { dy }).collect();
        let scale = &table[3 * c..];
        let want: Vec<f64> =
            g.iter().enumerate().map(|(i, g)| f64::from(F::from_f32(scale[i % c] * g).to_f32())).collect();
        let (table, y) = (gpu.upload("table", &table)?, gpu.upload_as::<F>("y", &y)?);
        for (gives_residual, gives_dx) in [(false, true), (true, true), (true, false)] {
            let dy = gpu.upload_as::<F>("dy", &self.dy)?;
            let own = gpu.unwritten::<F>("dx", rows * c)?;
            let dx = if gives_residual { &own } else { &dy };
            let to = or_null(gives_dx.then_some(dx));
            let null = Arg::Pointer(0);
            let mask_dy = i32::from(gives_residual);
            #[rustfmt::skip]
            let own = args![
                &dy, null, &y, &table, null, null, 0i32, null, 0i32, to, 0i32, OUTPUT, mask_dy, APPLY, 0i32
            ];
            let launch = self.sizes.launch::<F>(self.sizes.tiles(), 0, 2);
            gpu.launch(
                &format!("batchnorm_backward_{}", F::NAME),
                launch,
                &[own.as_slice(), sizes].concat(),
            )?;
            if gives_dx {
                close("dx", &gpu.read_f32(dx)?, &want, F::ROUNDING, 1.0)?;
            }
            if gives_residual {
                gpu::equal("masked dy", &gpu.read_f32(&dy)?, &g)?;
            }
        }
        Ok(())
    }
}

fn or_null<T: Element>(buffer: Option<&Buffer<T>>) -> Arg {
    buffer.map_or(Arg::Pointer(0), Arg::from)
}

pub fn every_case<F: Float>(gpu: &Gpu) -> Outcome {
    for sizes in SIZES {
        Case::noise::<F>(sizes, false, true, true).check_without_parameters::<F>(gpu)?;
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
                let mut first = None;
                for launches in [
                    Launches::One(sizes.tiles().min(30), sizes.rows_a_tile),
                    Launches::One(sizes.tiles().min(3), 5.min(sizes.rows_a_tile)),
                    Launches::One(1, 0),
                    Launches::Two,
                ] {
                    let here = |error| {
                        format!(
                            "{sizes:?} batch {batch} residual {residual} relu {relu} mask {mask} {launches:?}: {error}"
                        )
                    };
                    let bits = case.check::<F>(gpu, mask, launches).map_err(here)?;
                    if *first.get_or_insert_with(|| bits.clone()) != bits {
                        return Err(here("other bits than of one launch".into()).into());
                    }
                }
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
