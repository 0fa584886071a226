//! A whole training step and inference of ResNet-50, 16 x 256 x 128: `cargo bench --bench resnet50`, in f32, or with
//! `-- --precision bf16`.
//!
//! `benches/resnet50_side_by_side.sh` runs it in turns with PyTorch. With `--ask` it answers each line of
//! standard input with seconds (`train`, `infer`; `small`: a training step at width 16 on 64 x 64, where overheads
//! decide), or with mebibytes of peak memory (`peak`).

use bcreid::autograd::{Params, StepValues, Tape};
use bcreid::config::Config;
use bcreid::data::Batch;
use bcreid::device::{Device, Precision};
use bcreid::model::Model;
use bcreid::model::folded::FoldedResNet;
use bcreid::ops::global_avg_pool::global_avg_pool;
use bcreid::optim::Optimizer;
use bcreid::tensor::Tensor;
use bcreid::tensor::philox::{Philox, RngStream};
use bcreid::train::schedule::{self, Scheduled};
use bcreid::train::step::{optimizer, step};
use std::io::BufRead;
use std::time::Instant;

const CLASSES: usize = 751;

struct Bench {
    device: Device,
    config: Config,
    model: Model,
    /// The backbone of inference, made at its first pass.
    folded: Option<FoldedResNet>,
    params: Params,
    optimizer: Box<dyn Optimizer + Send>,
    values: StepValues,
    pixels: Tensor,
    labels: Tensor,
    number: u64,
}

impl Bench {
    fn new(config: Config, precision: Precision) -> Self {
        let device = Device::cpu_in(precision);
        let (model, params) = Model::new(&config, CLASSES, &device).unwrap();
        let shape = [config.solver.batch, config.input.height, config.input.width, 3];
        let stream = Philox::new(0, 0, 0, RngStream::Test);
        let noise: Vec<f32> =
            (0..shape.iter().product::<usize>()).map(|i| 2.0 * stream.uniform(i as u32) - 1.0).collect();
        let labels: Vec<i32> = (0..shape[0] as i32).map(|i| i * 40).collect();
        Bench {
            optimizer: optimizer(&params, &config).unwrap(),
            values: StepValues::new(&device, 0).unwrap().with_scalars(&schedule::SCALARS).unwrap(),
            pixels: Tensor::activations(&device, shape, &noise).unwrap(),
            labels: Tensor::from_i32(&device, [shape[0]], &labels).unwrap(),
            device,
            config,
            model,
            folded: None,
            params,
            number: 0,
        }
    }

    /// Seconds of one training step.
    fn train(&mut self) -> f64 {
        let scheduled = Scheduled { lr: 1e-4, lambda: 1.0, center_rate: 0.5 };
        self.values.set(self.number, &scheduled.scalars()).unwrap();
        let batch = Batch {
            step: self.number,
            pixels: self.pixels.duplicate(&self.device).unwrap(),
            labels: self.labels.clone(),
            images: Vec::new(),
        };
        self.number += 1;
        let start = Instant::now();
        let Bench { model, params, optimizer, values, config, .. } = self;
        let measured = step(model, params, &mut **optimizer, values, batch, config).expect("a training step");
        let loss = measured.softmax.to_host_f32().unwrap()[0];
        let seconds = start.elapsed().as_secs_f64();
        assert!(loss.is_finite());
        seconds
    }

    /// Seconds of one forward pass to pool5.
    fn infer(&mut self) -> f64 {
        let Bench { model, params, folded, .. } = self;
        let folded = folded.get_or_insert_with(|| {
            FoldedResNet::new(&model.backbone, params).unwrap().expect("finite filters on the CPU")
        });
        let start = Instant::now();
        let mut tape = Tape::no_grad(params).unwrap();
        let pixels = tape.constant(self.pixels.clone());
        let map = folded.feature_map(&mut tape, pixels).expect("inference");
        let pool5 = global_avg_pool(&mut tape, map).expect("inference");
        let feature = pool5.value.to_host_f32().unwrap()[0];
        let seconds = start.elapsed().as_secs_f64();
        assert!(feature.is_finite());
        seconds
    }
}

/// Peak memory of this process in MiB; 0 if the system does not report it.
fn peak() -> f64 {
    bcreid::bench::peak_of_process().map_or(0.0, |bytes| bytes as f64 / f64::from(1 << 20))
}

fn main() {
    // The program trains on a thread of the pool too.
    rayon::scope(|_| run());
}

fn run() {
    let given: Vec<String> = std::env::args().collect();
    let precision = given.iter().position(|a| a == "--precision").map(|at| given[at + 1].parse().unwrap());
    let precision = precision.unwrap_or(Precision::F32);
    let mut bench = Bench::new(Config::default(), precision);
    let small = ["model.width=16", "input.height=64", "input.width=64"].map(String::from);
    let mut small = Bench::new(Config::resolve(None, &small).expect("constant settings"), precision);
    if given.iter().any(|a| a == "--ask") {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.trim() {
                "train" => println!("{}", bench.train()),
                "infer" => println!("{}", bench.infer()),
                "small" => println!("{}", small.train()),
                "peak" => println!("{}", peak()),
                other => eprintln!("unknown question {other}"),
            }
        }
        return;
    }
    let report = |name: &str, times: usize, pass: &mut dyn FnMut() -> f64| {
        let mut seconds: Vec<f64> = (0..=times).map(|_| pass()).skip(1).collect();
        seconds.sort_by(f64::total_cmp);
        println!("{name}: median {:.3} s of {times}", seconds[seconds.len() / 2]);
    };
    report("training step", 5, &mut || bench.train());
    report("inference", 5, &mut || bench.infer());
    report("training step, width 16, 64 x 64", 50, &mut || small.train());
    println!("peak memory: {:.0} MiB", peak());
}
