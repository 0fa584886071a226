//! Batch normalisation with residual and rectifier, forward and backward, against PyTorch and a plain copy.
//!
//! `cargo bench --bench batchnorm` runs both in turn on the same number of threads and prints the best times.
//! PyTorch is measured by `batchnorm.py` beside this file, run by `$PYTHON` (default `python3`); without PyTorch
//! only the times of this program are printed.

use bcreid::autograd::{BufferId, ParamId, ParamSpecs, Params, StepValues, Tape};
use bcreid::device::Device;
use bcreid::ops::batchnorm::{BatchNorm, Epilogue, Statistics, batchnorm};
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use rayon::prelude::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

const CASES: [[usize; 4]; 2] = [[16, 64, 32, 256], [16, 16, 8, 1024]];
const ROUNDS: usize = 25;
/// Passes over a buffer of x's size. Forward: x twice, residual, y; backward: dy twice, y, x twice, dx, and
/// dy masked.
const STREAMS: [f64; 2] = [4.0, 7.0];

/// A PyTorch process that answers each line with one line.
struct Torch {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Torch {
    fn start() -> Option<Self> {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/batchnorm.py");
        let mut child = Command::new(python)
            .args([script, &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let answers = BufReader::new(child.stdout.take()?);
        Some(Torch { child, answers })
    }

    /// Measures forward and backward in milliseconds.
    fn step(&mut self, [n, h, w, c]: [usize; 4]) -> Option<[f64; 2]> {
        writeln!(self.child.stdin.as_mut()?, "{n} {h} {w} {c}").ok()?;
        let mut line = String::new();
        self.answers.read_line(&mut line).ok()?;
        let mut times = line.split_whitespace().filter_map(|t| t.parse().ok());
        Some([times.next()?, times.next()?])
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Best effort: a process that cannot be ended is left alone.
        let _ = self.child.wait();
    }
}

/// Parameters and running statistics of a layer.
struct Layer {
    params: Params,
    gamma: ParamId,
    beta: ParamId,
    mean: BufferId,
    var: BufferId,
}

impl Layer {
    fn new(device: &Device, channels: usize) -> Self {
        let mut specs = ParamSpecs::default();
        let (gamma, beta) = (specs.add("gamma", [channels]), specs.add("beta", [channels]));
        let mean = specs.add_buffer("mean", [channels], 0.0);
        let var = specs.add_buffer("var", [channels], 1.0);
        let mut params = Params::new(device, &specs).expect("the CPU has memory");
        params.get_mut(gamma).value.f32_mut().fill(0.7);
        Layer { params, gamma, beta, mean, var }
    }
}

/// Measures forward and backward in milliseconds; all buffers come from the pool, as in training.
fn step(layer: &mut Layer, inputs: &[Tensor; 3]) -> [f64; 2] {
    let Layer { params, gamma, beta, mean, var } = layer;
    let device = params.device().clone();
    let mut tape = Tape::new(params, &StepValues::new(&device, 0).unwrap());
    // Only the tape owns x, as in a network.
    let x = tape.leaf(inputs[0].duplicate(&device).unwrap());
    let residual = tape.leaf(inputs[1].clone());
    let seed = inputs[2].duplicate(&device).unwrap();
    let bn = BatchNorm { gamma: tape.param(*gamma), beta: tape.param(*beta), mean: *mean, var: *var };
    let epilogue = Epilogue { residual: Some(residual), relu: true };
    let start = Instant::now();
    let y = batchnorm(&mut tape, x, bn, Statistics::Batch { momentum: 0.1 }, epilogue).expect("forward");
    let forward = start.elapsed().as_secs_f64() * 1e3;
    let start = Instant::now();
    tape.backward(vec![(y, seed)]).expect("backward");
    [forward, start.elapsed().as_secs_f64() * 1e3]
}

/// Measures a plain copy by all threads in milliseconds.
fn copy(from: &Tensor, to: &mut Tensor) -> f64 {
    let start = Instant::now();
    let pieces = to.f32_mut().par_chunks_mut(1 << 16).zip(from.f32().par_chunks(1 << 16));
    pieces.for_each(|(to, from)| to.copy_from_slice(from));
    start.elapsed().as_secs_f64() * 1e3
}

fn main() {
    let mut torch = Torch::start();
    println!("{} threads, best of {ROUNDS}, milliseconds", rayon::current_num_threads());
    for sizes in CASES {
        let device = Device::cpu();
        let mut layer = Layer::new(&device, sizes[sizes.len() - 1]);
        let len: usize = sizes.iter().product();
        let inputs = [1, 2, 3].map(|seed| {
            let stream = Philox::new(seed, 0, 0, RngStream::Test);
            let values: Vec<f32> = (0..len as u32).map(|i| stream.uniform(i) - 0.5).collect();
            Tensor::from_f32(&device, sizes, &values).unwrap()
        });
        let mut target = Tensor::zeros(&device, sizes).unwrap();
        let (mut ours, mut theirs, mut plain) = ([f64::MAX; 2], [f64::MAX; 2], f64::MAX);
        for _ in 0..ROUNDS {
            let best = |best: &mut [f64; 2], new: [f64; 2]| *best = [0, 1].map(|i| best[i].min(new[i]));
            best(&mut ours, step(&mut layer, &inputs));
            plain = plain.min(copy(&inputs[0], &mut target));
            match torch.as_mut().map(|torch| torch.step(sizes)) {
                Some(Some(times)) => best(&mut theirs, times),
                _ => torch = None,
            }
        }
        let bandwidth = |streams: f64, ms: f64| streams * (len * 4) as f64 / ms / 1e6;
        println!("{sizes:?}: plain copy {plain:.2}, {:.1} GB/s", bandwidth(2.0, plain));
        for (i, name) in ["forward", "backward"].into_iter().enumerate() {
            print!("  {name:8} {:7.2}, {:.1} GB/s", ours[i], bandwidth(STREAMS[i], ours[i]));
            match torch {
                Some(_) => println!("; PyTorch {:7.2}, {:.2} times ours", theirs[i], theirs[i] / ours[i]),
                None => println!("; PyTorch not found"),
            }
        }
    }
}
