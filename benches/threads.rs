//! A model of a ResNet-50 training step on 4 to 64 threads, 16 x 256 x 128: how far the cut of the work into tasks lets
//! it gain.
//!
//! `cargo bench --bench threads`. Measured, on one thread: the serial share of a step (CPU time outside of the pool's
//! thread) and the time of each convolution. Counted: the tasks of each loop, from the sizes and from the constants of
//! the sources. With n tasks, T threads take as long as one thread needs for ceil(n / T) of them. The model has equal
//! cores and memory that is fast enough for all of them, so that it gives the most that can be gained. The packing of
//! filters and the last additions of the filters' gradients, which are small, are left out. Linux only.

use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::config::Config;
use bcreid::data::Batch;
use bcreid::device::Device;
use bcreid::device::cpu::isa::{Isa, isa};
use bcreid::model::Model;
use bcreid::ops::conv2d::{Conv, conv2d};
use bcreid::optim::Optimizer;
use bcreid::tensor::Tensor;
use bcreid::train::schedule::{self, Scheduled};
use bcreid::train::step::{optimizer, step};
use layers::{BATCH, LAYERS};

#[path = "common/layers.rs"]
mod layers;

const CLASSES: usize = 751;
const ROUNDS: usize = 3;
const THREADS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

const IMPLICIT: &str = include_str!("../src/ops/conv2d/implicit_gemm.rs");
const FILTERS: &str = include_str!("../src/ops/conv2d/filter_gradient.rs");
const WINOGRAD: &str = include_str!("../src/ops/conv2d/winograd.rs");
const MOMENTS: &str = include_str!("../src/ops/batchnorm/moments.rs");
const NORMALISE: &str = include_str!("../src/ops/batchnorm/cpu.rs");
/// Columns of a panel of the micro-kernel.
const COLS: usize = 16;

/// A constant of a source file: a product of numbers. For one that Miri shrinks, the value without Miri.
fn constant(source: &str, name: &str) -> usize {
    let start = format!("const {name}: usize = ");
    let line = source.lines().find_map(|line| line.trim_start_matches("pub ").strip_prefix(&start));
    let value = line.unwrap_or_else(|| panic!("the source has no constant {name}: correct this benchmark"));
    let value = value.rsplit("else {").next().expect("a value").trim_end_matches([';', '}', ' ']);
    value
        .split('*')
        .map(|factor| factor.trim().replace('_', "").parse::<usize>().expect("a number"))
        .product()
}

/// The tasks of fprop, dgrad and wgrad.
fn tasks([h, w, c, k, filter, stride]: [usize; 6]) -> [usize; 3] {
    let (r, p) = if isa() == Isa::Avx2 { (6, 1) } else { (8, 2) };
    let [height, width] = [h, w].map(|size| size.div_ceil(stride));
    if filter == 3 && stride == 1 && c.min(k) >= constant(WINOGRAD, "CHANNELS") {
        return winograd(r, p, [h, w], c, k);
    }
    let rows = |pixels: usize, modulus: usize| {
        let few = pixels.div_ceil(constant(IMPLICIT, "TASKS")).next_multiple_of(r);
        let task = few.clamp(2 * r, constant(IMPLICIT, "PIXELS")) * modulus * modulus;
        pixels.div_ceil(task)
    };
    let most = constant(FILTERS, "TASKS");
    let panels = (filter * filter * c).div_ceil(COLS);
    let groups = (panels / constant(FILTERS, "PANELS_TOGETHER")).clamp(1, most);
    let group = panels.div_ceil(groups).next_multiple_of(p);
    let chunks = k.div_ceil(constant(FILTERS, "ROWS_TOGETHER"));
    let chunk = k.div_ceil(chunks).next_multiple_of(r);
    let (pixels, block) = (BATCH * height * width, constant(FILTERS, "BLOCK"));
    let parts = (most / (groups * chunks)).clamp(1, pixels.div_ceil(2 * block));
    let part = pixels.div_ceil(parts).next_multiple_of(block);
    let wgrad = pixels.div_ceil(part) * panels.div_ceil(group) * k.div_ceil(chunk);
    [rows(pixels, 1), rows(BATCH * h * w, stride), wgrad]
}

/// As [`tasks`], for Winograd's algorithm.
fn winograd(r: usize, p: usize, [h, w]: [usize; 2], c: usize, k: usize) -> [usize; 3] {
    let [down, across] = [h, w].map(|size| size.div_ceil(2));
    let (rows, tiles) = (BATCH * down, BATCH * down * across);
    let most = if c + k <= 256 { 8 } else { 4 };
    let target = constant(WINOGRAD, "TASKS");
    let of_task = [most, 4, 2, 1].map(|n| n * r).into_iter().find(|of_task| tiles >= of_task * target / 3);
    let rows = rows.div_ceil((of_task.unwrap_or(r) / across).max(1));
    let panels = c.div_ceil(COLS);
    let groups = panels.div_ceil(constant(WINOGRAD, "PANELS"));
    let groups = panels.div_ceil(panels.div_ceil(groups).next_multiple_of(p));
    let block = constant(WINOGRAD, "BLOCK");
    let parts = (target / groups).clamp(1, tiles.div_ceil(2 * block));
    let part = tiles.div_ceil(parts).next_multiple_of(block);
    [rows, rows, tiles.div_ceil(part) * groups]
}

/// The tasks of one pass of batch normalisation over a map: with sums, and without.
fn tasks_of_norm(pixels: usize, channels: usize) -> [usize; 2] {
    [constant(MOMENTS, "SUM_CHUNK"), constant(NORMALISE, "CHUNK")]
        .map(|chunk| pixels.div_ceil((chunk / channels).max(1)))
}

/// A loop: its name, its time on one thread (in any unit) and its number of tasks.
struct Loop {
    name: &'static str,
    time: f64,
    tasks: usize,
}

impl Loop {
    /// Its time on some threads.
    fn on(&self, threads: usize) -> f64 {
        self.time * self.tasks.div_ceil(threads) as f64 / self.tasks as f64
    }
}

/// CPU time of the calling thread in seconds.
fn cpu_time() -> f64 {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    line.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).expect("nanoseconds") / 1e9
}

/// CPU time of the pool's only thread.
fn cpu_time_of_pool() -> f64 {
    rayon::broadcast(|_| cpu_time())[0]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect()
}

/// CPU seconds of a training step outside of parallel loops, and inside.
fn measured_step() -> [f64; 2] {
    let device = Device::cpu();
    let config = Config::default();
    let (model, mut params) = Model::new(&config, CLASSES, &device).expect("a network");
    let mut optimizer: Box<dyn Optimizer + Send> = optimizer(&params, &config).expect("an optimizer");
    let mut step_values =
        StepValues::new(&device, 0).and_then(|v| v.with_scalars(&schedule::SCALARS)).expect("values");
    let shape = [BATCH, config.input.height, config.input.width, 3];
    let pixels = values(shape.iter().product());
    let labels: Vec<i32> = (0..BATCH as i32).map(|i| i * 40).collect();
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS as u64 {
        let scheduled = Scheduled { lr: 1e-4, lambda: 1.0, center_rate: 0.5 };
        step_values.set(number, &scheduled.scalars()).expect("values");
        let batch = Batch {
            step: number,
            pixels: Tensor::from_f32(&device, shape, &pixels).expect("pixels"),
            labels: Tensor::from_i32(&device, [BATCH], &labels).expect("labels"),
            images: Vec::new(),
        };
        let before = [cpu_time(), cpu_time_of_pool()];
        let losses =
            step(&model, &mut params, &mut *optimizer, &step_values, batch, &config).expect("a step");
        assert!(losses.softmax.to_host_f32().expect("a loss")[0].is_finite());
        rounds.push([cpu_time() - before[0], cpu_time_of_pool() - before[1]]);
    }
    // The first step allocates.
    let part = |at: usize| median(rounds[1..].iter().map(|round| round[at]).collect());
    [part(0), part(1)]
}

/// CPU seconds of fprop, dgrad and wgrad on this thread of the pool: the best of a few.
fn measured_convolution(device: &Device, [h, w, c, k, r, stride]: [usize; 6]) -> [f64; 3] {
    let conv = Conv { stride, pad: r / 2 };
    let x = Tensor::from_f32(device, [BATCH, h, w, c], &values(BATCH * h * w * c)).expect("an input");
    let filters = Tensor::from_f32(device, [k, r, r, c], &values(k * r * r * c)).expect("filters");
    let mut best = [f64::INFINITY; 3];
    let mut params = Params::none(device);
    for _ in 0..ROUNDS {
        let mut note = |i: usize, start: f64| best[i] = best[i].min(cpu_time() - start);
        let mut tape = Tape::no_grad(&mut params).expect("a tape");
        let (a, b) = (tape.constant(x.clone()), tape.constant(filters.clone()));
        let start = cpu_time();
        let dy = conv2d(&mut tape, a, b, None, conv).expect("fprop").value;
        note(0, start);
        for (i, of_input) in [(1, true), (2, false)] {
            let mut tape = Tape::new(&mut params, &StepValues::new(device, 0).expect("values"));
            let (a, b) = match of_input {
                true => (tape.leaf(x.clone()), tape.constant(filters.clone())),
                false => (tape.constant(x.clone()), tape.leaf(filters.clone())),
            };
            let y = conv2d(&mut tape, a, b, None, conv).expect("fprop");
            let start = cpu_time();
            tape.backward(vec![(y, dy.clone())]).expect("backward");
            note(i, start);
        }
    }
    best
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the first pool");
    // Calls from outside of the pool: the loops run on its thread, everything else on this one.
    let [serial, parallel] = measured_step();
    let whole = serial + parallel;
    println!("serial share of a step: {:.2} %", 100.0 * serial / whole);

    let device = Device::cpu();
    let mut loops = Vec::new();
    println!(
        "\ntasks of convolutions\n{:<32} {:>6} {:>6} {:>6}",
        "H W C K R stride", "fprop", "dgrad", "wgrad"
    );
    // The maps behind each convolution, which batch normalisation passes over.
    let mut maps = Vec::new();
    for (shape, count) in LAYERS {
        let [h, w, _, k, filter, stride] = shape;
        let tasks = tasks(shape);
        println!("{:<32} {:>6} {:>6} {:>6}", format!("{shape:?} x {count}"), tasks[0], tasks[1], tasks[2]);
        let names = match filter == 3 && stride == 1 {
            true => ["fprop, Winograd", "dgrad, Winograd", "wgrad, Winograd"],
            false => ["fprop", "dgrad", "wgrad"],
        };
        let seconds = rayon::scope(|_| measured_convolution(&device, shape));
        for ((name, tasks), seconds) in names.into_iter().zip(tasks).zip(seconds) {
            // A step needs no gradient of the images.
            let is_needed = !(shape[2] == 3 && name == "dgrad");
            loops.extend(is_needed.then_some(Loop { name, time: seconds * count as f64, tasks }));
        }
        maps.push((BATCH * h.div_ceil(stride) * w.div_ceil(stride), k, count));
    }
    // The other loops take what is left of the step. Nearly all of it is batch normalisation, whose four passes count by
    // their elements.
    let convolutions: f64 = loops.iter().map(|l| l.time).sum();
    let rest = (parallel - convolutions).max(0.0);
    let elements: usize = maps.iter().map(|(pixels, k, count)| pixels * k * count).sum();
    for (pixels, k, count) in maps {
        let half = rest * (pixels * k * count) as f64 / elements as f64 / 2.0;
        let [sums, plain] = tasks_of_norm(pixels, k);
        loops.push(Loop { name: "batch norm, sums", time: half, tasks: sums });
        loops.push(Loop { name: "batch norm, rest", time: half, tasks: plain });
    }

    print!("\nthe most that T threads gain\n{:<18} {:>6} {:>7}", "loops", "share", "tasks");
    THREADS.iter().for_each(|threads| print!(" {threads:>6}"));
    println!();
    let mut names: Vec<&str> = Vec::new();
    loops.iter().for_each(|l| {
        if !names.contains(&l.name) {
            names.push(l.name)
        }
    });
    for name in names {
        let of_name = || loops.iter().filter(|l| l.name == name);
        let time: f64 = of_name().map(|l| l.time).sum();
        let fewest = of_name().map(|l| l.tasks).min().expect("a loop");
        print!("{name:<18} {:>4.1} % {fewest:>7}", 100.0 * time / whole);
        for threads in THREADS {
            print!(" {:>6.1}", time / of_name().map(|l| l.on(threads)).sum::<f64>());
        }
        println!();
    }
    print!("{:<18} {:>4.1} % {:>7}", "serial", 100.0 * serial / whole, 1);
    THREADS.iter().for_each(|_| print!(" {:>6.1}", 1.0));
    let all: f64 = loops.iter().map(|l| l.time).sum::<f64>() + serial;
    print!("\n{:<18} {:>6} {:>7}", "the step", "", "");
    for threads in THREADS {
        print!(" {:>6.1}", all / (loops.iter().map(|l| l.on(threads)).sum::<f64>() + serial));
    }
    print!("\n{:<18} {:>6} {:>7}", "by Amdahl alone", "", "");
    THREADS.iter().for_each(|&threads| print!(" {:>6.1}", all / (serial + (all - serial) / threads as f64)));
    println!();
}
