//! How long training steps take: `bcreid bench`.
//!
//! The steps are those of a run, one behind the other as the solver asks for them, and fed by its loader; only the
//! images are made up and the learning rate is too small to change anything. Each kind of step, plain or recorded, is
//! timed after a warm-up.

mod clock;
mod report;

pub use report::{Parts, Report, Times};

use crate::autograd::{Params, StepValues};
use crate::config::Config;
use crate::data::{ImageCache, Loader};
use crate::device::Device;
use crate::error::Remedy;
use crate::model::Model;
use crate::optim::{MomentumSgd, Optimizer};
use crate::tensor::philox::{Philox, RngStream};
use crate::train::schedule::{self, Scheduled};
use crate::train::solver::loader_options;
use crate::train::step::{optimizer, step, step_with_hook};
use crate::train::step_runner::{PendingOutput, StepRunner};
use crate::{Error, Result};
use clock::{Mark, between};
use std::collections::VecDeque;

/// Made-up images, or those of a batch if that has more.
const IMAGES: usize = 256;
/// Images of an identity, as far as there are identities enough.
const OF_ONE: usize = 4;
/// Time does not depend on it, and the losses of random weights stay finite.
const RATE: f32 = 1e-5;
/// Steps whose losses may be on their way: more than a GPU is behind the host.
const MOST_PENDING: usize = 64;
/// Steps within which a GPU must have been able to record one.
const RECORDED_BY: usize = 20;

/// Which steps to time.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Network, batch and everything else.
    pub config: Config,
    /// Identities, at least two.
    pub classes: usize,
    /// Steps of each kind, at least one.
    pub steps: usize,
    /// Whether a GPU is timed with recorded steps too.
    pub may_record: bool,
}

/// Times steps; `progress` is told how many steps of how many are done, warm-ups left out.
///
/// # Errors
/// A plan that makes no sense; what the device reports; a loss that is not finite.
pub fn run(plan: &Plan, device: &Device, progress: &dyn Fn(usize, usize)) -> Result<Report> {
    let mut bench = Bench::new(plan, device)?;
    let records = plan.may_record && matches!(device, Device::Cuda(_));
    let total = plan.steps * if records { 2 } else { 1 };
    let (plain, parts) = bench.plain(plan.steps, &|done| progress(done, total))?;
    let graph = match records {
        true => Some(bench.recorded(plan.steps, &|done| progress(plan.steps + done, total))?),
        false => None,
    };
    let (name, threads, peak, held) = match device {
        Device::Cpu(_) => ("cpu".into(), Some(rayon::current_num_threads()), peak_of_process(), None),
        Device::Cuda(gpu) => {
            let usage = gpu.usage();
            (gpu.name().to_string(), None, Some(usage.peak), Some(usage.held))
        }
    };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        device: name,
        precision: device.precision().to_string(),
        threads,
        classes: plan.classes,
        steps: plan.steps,
        plain,
        parts,
        graph,
        peak_bytes: peak,
        held_bytes: held,
        softmax_loss: bench.softmax,
        config: plan.config.clone(),
    })
}

/// Bytes of memory that this process has had at most; none where the system does not tell.
pub fn peak_of_process() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

/// Everything a step needs.
struct Bench {
    config: Config,
    device: Device,
    model: Model,
    params: Params,
    optimizer: MomentumSgd,
    values: StepValues,
    loader: Loader,
    /// The next step.
    number: u64,
    /// Losses that nobody has waited for.
    pending: VecDeque<PendingOutput>,
    /// The newest loss.
    softmax: f32,
}

impl Bench {
    fn new(plan: &Plan, device: &Device) -> Result<Self> {
        let Plan { config, classes, steps, .. } = plan;
        if *classes < 2 || *steps == 0 {
            return Err(Error::Run(format!(
                "{classes} classes and {steps} steps: training needs 2 classes at least, and timing a step"
            )));
        }
        let (model, params) = Model::new(config, *classes, device)?;
        let mut optimizer = optimizer(&params, config)?;
        optimizer.prepare(&params)?;
        let (cache, labels) = made_up(config, *classes);
        Ok(Bench {
            config: config.clone(),
            device: device.clone(),
            model,
            params,
            optimizer,
            values: StepValues::new(device, config.run.seed)?.with_scalars(&schedule::SCALARS)?,
            loader: Loader::over(cache, labels, loader_options(config, 0), device)?,
            number: 0,
            pending: VecDeque::new(),
            softmax: f32::NAN,
        })
    }

    /// Plain steps, and their parts.
    fn plain(&mut self, steps: usize, done: &dyn Fn(usize)) -> Result<(Times, Parts)> {
        let mut step_runner = StepRunner::new(&self.device, false);
        for _ in 0..self.warm_up() {
            self.step(&mut step_runner)?;
        }
        let before = self.launches();
        let mut marks = Vec::new();
        for i in 0..steps {
            marks.push(self.marked_step(&mut step_runner)?);
            done(i + 1);
        }
        let launches = self.launches().zip(before).map(|(after, before)| (after - before) / steps as u64);
        let end = Mark::here(&self.device)?;
        self.wait(0)?;
        let parts = marks.iter().map(between).collect::<Result<Vec<_>>>()?;
        let begins = marks.iter().map(|of_step| &of_step[0]);
        let seconds = between(begins.chain([&end]))?;
        Ok((Times::new(seconds, self.config.solver.batch, launches), Parts::new(&parts)))
    }

    /// Replays of a step recorded once.
    fn recorded(&mut self, steps: usize, done: &dyn Fn(usize)) -> Result<Times> {
        let mut step_runner = StepRunner::new(&self.device, true);
        let mut warm = 0;
        while step_runner.nodes().is_none() || warm < self.warm_up() {
            if warm == RECORDED_BY {
                return Err(Error::Device(format!(
                    "none of {warm} steps could be captured: each of them needed more memory"
                ))
                .with_remedies([Remedy::WithoutCapture]));
            }
            self.step(&mut step_runner)?;
            if let Some(capture_error) = step_runner.take_capture_error() {
                return Err(Error::Device(capture_error).with_remedies([Remedy::WithoutCapture]));
            }
            warm += 1;
        }
        let mut marks = vec![Mark::here(&self.device)?];
        for i in 0..steps {
            self.step(&mut step_runner)?;
            marks.push(Mark::here(&self.device)?);
            done(i + 1);
        }
        self.wait(0)?;
        let nodes = step_runner.nodes().map(|nodes| nodes as u64);
        Ok(Times::new(between(&marks)?, self.config.solver.batch, nodes))
    }

    /// Steps that a device needs to be at its pace: the memory is there, algorithms are chosen, clocks are up.
    fn warm_up(&self) -> usize {
        match self.device {
            Device::Cpu(_) => 1,
            Device::Cuda(_) => 10,
        }
    }

    fn launches(&self) -> Option<u64> {
        match &self.device {
            Device::Cpu(_) => None,
            Device::Cuda(gpu) => Some(gpu.launches()),
        }
    }

    /// What the solver does for a step.
    fn step(&mut self, step_runner: &mut StepRunner) -> Result<()> {
        self.prepare()?;
        let Bench { config, model, params, optimizer, values, loader, .. } = self;
        let sent =
            step_runner.run(|| step(model, params, optimizer, values, loader.batch(values)?, config))?;
        self.pending.push_back(sent);
        self.wait(MOST_PENDING)
    }

    /// The same with marks: in front of the step and behind each of its parts.
    fn marked_step(&mut self, step_runner: &mut StepRunner) -> Result<Vec<Mark>> {
        let mut marks = vec![Mark::here(&self.device)?];
        self.prepare()?;
        let Bench { config, device, model, params, optimizer, values, loader, .. } = self;
        let sent = step_runner.run(|| {
            let batch = loader.batch(values)?;
            marks.push(Mark::here(device)?);
            step_with_hook(model, params, optimizer, values, batch, config, &mut |_| {
                marks.push(Mark::here(device)?);
                Ok(())
            })
        })?;
        self.pending.push_back(sent);
        self.wait(MOST_PENDING)?;
        Ok(marks)
    }

    fn prepare(&mut self) -> Result<()> {
        let scheduled = schedule::at(&self.config, self.number);
        self.loader.prepare()?;
        self.values.set(self.number, &Scheduled { lr: RATE, ..scheduled }.scalars())?;
        self.number += 1;
        Ok(())
    }

    /// Waits for all losses but the newest `pending`: an overflow would be another task than training.
    fn wait(&mut self, pending: usize) -> Result<()> {
        let finished = self.pending.len().saturating_sub(pending);
        for sent in self.pending.drain(..finished) {
            self.softmax = sent.softmax.wait()?[0];
            if !self.softmax.is_finite() {
                return Err(Error::Diverged(format!("the softmax loss of a timed step is {}", self.softmax)));
            }
        }
        Ok(())
    }
}

/// Noise for images, and their classes.
fn made_up(config: &Config, classes: usize) -> (ImageCache, Vec<i32>) {
    let n = IMAGES.max(config.solver.batch);
    let image_bytes = config.image_input().len();
    let noise = Philox::new(config.run.seed, 0, 0, RngStream::Test);
    let words = (0..(n * image_bytes).div_ceil(16)).flat_map(|block| noise.block(block as u32));
    let mut pixels: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    pixels.truncate(n * image_bytes);
    let labels = (0..n).map(|i| (i / OF_ONE % classes) as i32).collect();
    (ImageCache::of(pixels, image_bytes), labels)
}
