//! Timing of training steps: `bcreid bench`.
//!
//! The steps are those of a training run, in the solver's order and with its loader; only the images are synthetic, and
//! the learning rate is too small to change the weights noticeably. Each kind of step, plain or captured, is timed
//! after a warm-up. On a GPU the parts of a step are timed as graphs of their own, and each piece of its work by events
//! in a graph (`captured`), and the layers of batch normalisation by both of their backends.

mod batchnorm;
mod captured;
mod clock;
mod model;
mod parts;
mod report;
mod table;

pub use model::{EventCost, Row, StepWork};
pub use parts::Parts;
pub use report::{BatchNormTimes, Passes, Report, Times};

use crate::autograd::{Params, StepValues};
use crate::config::Config;
use crate::data::{Attributes, ImageCache, Loader};
use crate::device::Device;
use crate::model::{Model, Outputs};
use crate::ops::unlabelled::UNLABELLED;
use crate::optim::Optimizer;
use crate::tensor::philox::{Philox, RngStream};
use crate::train::batches::loader_options;
use crate::train::groups;
use crate::train::schedule::{self, Scheduled};
use crate::train::step::{optimizer, step, step_with_hook};
use crate::train::step_runner::{PendingOutput, StepRunner};
use crate::{Error, Result};
use clock::{Mark, between};
use parts::{Part, by_part};
use std::collections::VecDeque;

/// Number of synthetic images, unless a batch has more.
const IMAGES: usize = 256;
/// Images of an identity, if there are enough identities.
const IMAGES_PER_IDENTITY: usize = 4;
/// Of the images of a run with `data.unlabelled`, every fourth has no identity.
const UNLABELLED_EVERY: usize = 4;
/// Number of attributes with two values each, as Lin et al. (2017) have for Market-1501.
const ATTRIBUTES: usize = 12;
/// Learning rate: small enough for the losses of random weights to stay finite; time does not depend on it.
const LR: f32 = 1e-5;
/// Largest number of steps whose losses are still being downloaded: more than a GPU lags behind the host.
const MOST_PENDING: usize = 64;

/// Settings of a benchmark.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Settings of the training run.
    pub config: Config,
    /// Number of identities, at least two.
    pub classes: usize,
    /// Number of steps of each kind, at least one.
    pub steps: usize,
    /// True to time captured steps too, on a GPU.
    pub may_capture: bool,
}

/// Times training steps; `progress` gets the number of finished steps and of all, without warm-ups.
///
/// # Errors
/// A plan out of range; an error of the device; a loss that is not finite.
pub fn run(plan: &Plan, device: &Device, progress: &dyn Fn(usize, usize)) -> Result<Report> {
    let mut bench = Bench::new(plan, device)?;
    let captures = plan.may_capture && matches!(device, Device::Cuda(_));
    let total = plan.steps * if captures { 4 } else { 1 };
    let (plain, mut parts) = bench.plain(plan.steps, &|done| progress(done, total))?;
    let mut work = bench.work()?;
    let graph = match captures {
        true => Some(bench.captured(plan.steps, &|done| progress(plan.steps + done, total))?),
        false => None,
    };
    let (name, threads, usage) = match device {
        Device::Cpu(_) => ("cpu".into(), Some(rayon::current_num_threads()), None),
        // Before anything else is timed: the figures of memory are those of training.
        Device::Cuda(gpu) => (gpu.name().to_string(), None, Some(gpu.usage())),
    };
    let mut steps_run = bench.number - bench.first;
    let (mut notes, mut parts_captured, mut batchnorm) = (Vec::new(), false, None);
    if let (Device::Cuda(gpu), true, Some(work)) = (device, captures, &mut work) {
        match bench.captured_parts(gpu, plan.steps, &|done| progress(2 * plan.steps + done, total)) {
            Ok((times, nodes)) => {
                work.measure_parts(&times, &nodes);
                (parts, parts_captured) = (times, true);
            }
            Err(error) => notes.push(format!("the times of the parts are those of plain steps: {error}")),
        }
        match bench.kind_times(gpu, plan.steps, &|done| progress(3 * plan.steps + done, total)) {
            Ok((times, one_stream)) => work.measure_kinds(&times, one_stream)?,
            Err(error) => notes.push(format!("the kinds of work are not timed: {error}")),
        }
        // A forward pass alone comes next.
        steps_run = bench.number - bench.first;
        match bench.batchnorms(gpu, plan.steps) {
            Ok(times) => batchnorm = Some(times),
            Err(error) => notes.push(format!("the layers of batch normalisation are not timed: {error}")),
        }
    }
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        device: name,
        precision: device.precision().to_string(),
        batchnorm_by: device.batchnorm().to_string(),
        threads,
        classes: plan.classes,
        steps: plan.steps,
        plain,
        parts,
        parts_captured,
        work,
        graph,
        batchnorm,
        peak_bytes: usage.as_ref().map_or_else(peak_of_process, |usage| Some(usage.peak)),
        held_bytes: usage.as_ref().map(|usage| usage.held),
        streams: match device {
            Device::Cpu(_) => None,
            Device::Cuda(gpu) => Some(gpu.streams()),
        },
        waiting_bytes: usage.as_ref().map(|usage| usage.waiting),
        steps_run,
        softmax_loss: bench.softmax,
        notes,
        config: plan.config.clone(),
    })
}

/// Peak resident memory of this process in bytes; `None` where the system does not report it.
pub fn peak_of_process() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}

/// State of the training run that is timed.
struct Bench {
    config: Config,
    device: Device,
    model: Model,
    params: Params,
    optimizer: Box<dyn Optimizer + Send>,
    values: StepValues,
    loader: Loader,
    /// Index of the first step, and of the next one.
    first: u64,
    number: u64,
    /// Losses that are still being computed or downloaded.
    pending: VecDeque<PendingOutput>,
    /// The newest softmax loss.
    softmax: f32,
}

impl Bench {
    fn new(plan: &Plan, device: &Device) -> Result<Self> {
        let Plan { config, classes, steps, .. } = plan;
        if *classes < 2 || *steps == 0 {
            return Err(Error::Run(format!(
                "{classes} classes and {steps} steps: training needs at least 2 classes, and timing at least 1 step"
            )));
        }
        let attributes = (config.loss.attributes.weight != 0.0).then(|| synthetic_attributes(*classes));
        let outputs = Outputs { classes: *classes, attributes: attributes.as_ref() };
        let (model, mut params) = Model::new(config, outputs, device)?;
        // Most steps of a run come after those with frozen parameters.
        let first = config.solver.freeze_iterations.min(config.solver.iterations - 1);
        groups::apply(config, &model, &mut params, first)?;
        let mut optimizer = optimizer(&params, config)?;
        optimizer.prepare(&params)?;
        let (cache, labels) = synthetic_images(config, *classes);
        Ok(Bench {
            config: config.clone(),
            device: device.clone(),
            model,
            params,
            optimizer,
            values: StepValues::new(device, config.run.seed)?.with_scalars(&schedule::SCALARS)?,
            loader: Loader::over(cache, labels, loader_options(config, first), device)?,
            first,
            number: first,
            pending: VecDeque::new(),
            softmax: f32::NAN,
        })
    }

    /// Times plain steps and their parts.
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
        let parts = marks.iter().map(|(parts, marks)| Ok(by_part(parts, &between(marks)?)));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let begins = marks.iter().map(|(_, of_step)| &of_step[0]);
        let seconds = between(begins.chain([&end]))?;
        Ok((Times::new(seconds, self.config.solver.batch, launches), Parts::new(&parts)))
    }

    /// Counts the launches of a plain step on a GPU, by part and kind.
    fn work(&mut self) -> Result<Option<StepWork>> {
        let Device::Cuda(gpu) = self.device.clone() else { return Ok(None) };
        let mut counts = Vec::new();
        self.prepare()?;
        gpu.take_asked()?;
        gpu.count_by_kind(true);
        let Bench { config, model, params, optimizer, values, loader, .. } = self;
        let sent = StepRunner::new(&self.device, false).run(|| {
            let batch = loader.batch(values)?;
            counts.push((Part::Assemble, gpu.count_by_kind(true)));
            step_with_hook(model, params, &mut **optimizer, values, batch, config, &mut |phase| {
                counts.push((phase.into(), gpu.count_by_kind(true)));
                Ok(())
            })
        });
        gpu.count_by_kind(false);
        self.pending.push_back(sent?);
        let asked = gpu.take_asked()?.unwrap_or_default();
        self.wait(0)?;
        Ok(Some(StepWork::new(counts, &asked, self.device.precision())))
    }

    /// Number of steps until a device runs at its usual speed: memory allocated, algorithms chosen, clocks raised.
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

    /// Runs a step as the solver does.
    fn step(&mut self, step_runner: &mut StepRunner) -> Result<()> {
        self.prepare()?;
        let Bench { config, model, params, optimizer, values, loader, .. } = self;
        let sent = step_runner
            .run(|| step(model, params, &mut **optimizer, values, loader.batch(values)?, config))?;
        self.pending.push_back(sent);
        self.wait(MOST_PENDING)
    }

    /// Runs a step with marks before it and after each of its parts.
    fn marked_step(&mut self, step_runner: &mut StepRunner) -> Result<(Vec<Part>, Vec<Mark>)> {
        let (mut parts, mut marks) = (vec![Part::Assemble], vec![Mark::here(&self.device)?]);
        self.prepare()?;
        let Bench { config, device, model, params, optimizer, values, loader, .. } = self;
        let sent = step_runner.run(|| {
            let batch = loader.batch(values)?;
            marks.push(Mark::here(device)?);
            step_with_hook(model, params, &mut **optimizer, values, batch, config, &mut |phase| {
                parts.push(phase.into());
                marks.push(Mark::here(device)?);
                Ok(())
            })
        })?;
        self.pending.push_back(sent);
        self.wait(MOST_PENDING)?;
        Ok((parts, marks))
    }

    fn prepare(&mut self) -> Result<()> {
        let scheduled = schedule::at(&self.config, self.number);
        self.loader.prepare()?;
        self.values.set(self.number, &Scheduled { lr: LR, ..scheduled }.scalars())?;
        self.number += 1;
        Ok(())
    }

    /// Waits for all losses but the newest `pending`, and checks them: steps with overflows would not be
    /// representative.
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

/// Attributes of `classes` identities: each has both values.
fn synthetic_attributes(classes: usize) -> Attributes {
    let table = (0..classes).flat_map(|class| (0..ATTRIBUTES).map(move |i| ((class + i) % 2) as i32));
    Attributes {
        file: "synthetic".into(),
        sha256: String::new(),
        names: (0..ATTRIBUTES).map(|i| format!("attribute {i}")).collect(),
        values: vec![vec!["0".into(), "1".into()]; ATTRIBUTES],
        table: table.collect(),
    }
}

/// Synthetic images of noise, and their classes.
fn synthetic_images(config: &Config, classes: usize) -> (ImageCache, Vec<i32>) {
    let n = IMAGES.max(config.solver.batch);
    let [height, width] = config.stored_size();
    let image_bytes = height * width * 3;
    let noise = Philox::new(config.run.seed, 0, 0, RngStream::Test);
    let words = (0..(n * image_bytes).div_ceil(16)).flat_map(|block| noise.block(block as u32));
    let mut pixels: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    pixels.truncate(n * image_bytes);
    let is_unlabelled = |i: usize| config.data.unlabelled.is_some() && i.is_multiple_of(UNLABELLED_EVERY);
    let label =
        |i: usize| if is_unlabelled(i) { UNLABELLED } else { (i / IMAGES_PER_IDENTITY % classes) as i32 };
    (ImageCache::of(pixels, image_bytes), (0..n).map(label).collect())
}
