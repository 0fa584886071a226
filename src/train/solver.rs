//! The loop around the step; reads from top to bottom.

use super::collapse::Watch;
use super::observer::{Observer, Observers};
use super::schedule::{self, Scheduled};
use super::step::{optimizer, step};
use super::step_runner::{PendingOutput, StepRunner};
use crate::autograd::{Params, StepValues};
use crate::config::{self, Config};
use crate::data::{Augment, CacheOptions, Classes, Dataset, Loader, LoaderOptions, SamplerKind};
use crate::device::Device;
use crate::files::write_atomically;
use crate::model::Model;
use crate::optim::{MomentumSgd, Optimizer};
use crate::run::RunFolder;
use crate::run::checkpoint::{self, Checkpoint, Identity};
use crate::run::metrics::{Log, StepMetrics};
use crate::weights::NetworkFile;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the weights come from.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Initial values drawn from the run's seed.
    Random,
    /// Trained weights, for example ImageNet's; the classifier and the centers are drawn anew.
    Weights(&'a NetworkFile),
    /// The newest checkpoint of the run in this folder.
    Resume(&'a RunFolder),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All iterations done; the weights are in this file.
    Finished(PathBuf),
    /// Stopped on request after this many iterations, all of them saved.
    Interrupted(u64),
}

/// A run ready for its first step: everything that can be wrong with settings, data and weights has been
/// checked, and nothing has been written.
pub struct Trainer {
    config: Config,
    device: Device,
    model: Model,
    params: Params,
    optimizer: MomentumSgd,
    loader: Loader,
    identity: Identity,
    first: u64,
    /// Images that were left out, and why.
    skipped: Vec<String>,
    may_record: bool,
}

impl Trainer {
    /// Builds the network, loads weights, decodes the data set; `progress` is told how many of how many
    /// images are decoded.
    ///
    /// # Errors
    /// Bad images, a data set or weights that do not fit.
    pub fn new(
        config: &Config,
        dataset: &Dataset,
        start: Start<'_>,
        device: &Device,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let classes = Classes::new(&dataset.train)?;
        let (model, mut params) = Model::new(config, classes.len(), device)?;
        let first = match start {
            Start::Random => 0,
            Start::Weights(file) => {
                file.start(config, &mut params)?;
                0
            }
            Start::Resume(run) => checkpoint::steps_done(&run.checkpoints())?,
        };
        let mut optimizer = optimizer(&params, config)?;
        let options = loader_options(config, first);
        let loader = Loader::new(&dataset.train, &classes, options, device, progress)?;
        let identity = Identity::new(config, &classes, &loader, device);
        if let Start::Resume(run) = start {
            checkpoint::restore(&run.checkpoints(), &identity, &mut params, &mut optimizer)?;
        }
        let skipped = loader
            .skipped()
            .iter()
            .map(|(image, why)| format!("{}: {why}", dataset.train[*image].path.display()))
            .collect();
        let config = config.clone();
        let device = device.clone();
        let may_record = true;
        Ok(Trainer { config, device, model, params, optimizer, loader, identity, first, skipped, may_record })
    }

    /// Whether a GPU may record a step and replay it, which changes no bit of the result. It does by default.
    pub fn with_recording(self, may_record: bool) -> Self {
        Trainer { may_record, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The first step that will run: 0, or where a resumed run goes on.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Trains until all iterations are done or `stop` is set, writing into `run`.
    ///
    /// # Errors
    /// A loss that is not finite, a disk that is full, an observer's; the last good checkpoint survives and is named.
    pub fn run(self, run: &RunFolder, stop: &AtomicBool, observers: Observers<'_>) -> Result<Outcome> {
        let Trainer {
            config,
            device,
            model,
            mut params,
            mut optimizer,
            mut loader,
            identity,
            first,
            skipped,
            may_record,
        } = self;
        let mut values = StepValues::new(&device, config.run.seed)?;
        optimizer.prepare(&params)?;
        let mut step_runner = StepRunner::new(&device, may_record);
        let mut recorder = Recorder {
            pending: VecDeque::new(),
            running: match device {
                Device::Cpu(_) => 0,
                Device::Cuda(_) => RUNNING,
            },
            log: Log::continue_at(&run.metrics(), first)?,
            observers,
            watch: Watch::new(config.loss.tau, config.loss.reduction),
        };
        let checkpoint = Checkpoint {
            folder: run.checkpoints(),
            kept: config.run.checkpoints_kept,
            identity,
            steps_per_epoch: loader.steps_per_epoch(),
        };
        if let Some(example) = skipped.first() {
            let (list, count) = (run.skipped(), skipped.len());
            write_atomically(&list, |w| w.write_all((skipped.join("\n") + "\n").as_bytes()))?;
            recorder
                .observers
                .note(&format!("{count} images left out (see {}): {example} ...", list.display()));
        }
        if first == 0 {
            // Where the run starts from belongs to it: resumed before its first checkpoint, it must not go on
            // from other weights.
            checkpoint.save(0, &params, &optimizer).map_err(|e| checkpoint.name_last_good(e))?;
        }

        for number in first..config.solver.iterations {
            let scheduled = schedule::at(&config, number);
            let ran = loader.prepare().and_then(|()| {
                values.set(number, scheduled.rate, scheduled.lambda, scheduled.center_rate)?;
                step_runner.run(|| {
                    let batch = loader.batch(&values)?;
                    step(&model, &mut params, &mut optimizer, &values, batch, &config)
                })
            });
            let sent = ran.map_err(|e| checkpoint.name_last_good(e))?;
            if let Some(capture_error) = step_runner.take_capture_error() {
                recorder.observers.note(&capture_error);
            }
            recorder.pending.push_back((number, scheduled, sent));

            let done = number + 1;
            let last = done == config.solver.iterations;
            let stopping = stop.load(Ordering::Relaxed);
            let save = last || stopping || done % config.run.checkpoint_every == 0;
            recorder.observers.issued(done);
            if save || done % config.run.log_every == 0 || recorder.pending.len() >= MOST_PENDING {
                let running = if save { 0 } else { recorder.running };
                recorder.read_back(running).map_err(|e| checkpoint.name_last_good(e))?;
            }
            if save {
                let saved = recorder.log.sync().and_then(|()| checkpoint.save(done, &params, &optimizer));
                saved.map_err(|e| checkpoint.name_last_good(e))?;
                if let Err(error) = checkpoint.prune() {
                    recorder.observers.note(&format!("an old checkpoint stays: {error}"));
                }
            }
            if stopping && !last {
                recorder.observers.ended();
                return Ok(Outcome::Interrupted(done));
            }
        }
        recorder.observers.ended();
        let written = checkpoint.write_weights(&run.weights(), &params);
        written.map_err(|e| checkpoint.name_last_good(e))?;
        Ok(Outcome::Finished(run.weights()))
    }
}

/// How a run's batches are made from its training set.
pub(crate) fn loader_options(config: &Config, first_step: u64) -> LoaderOptions {
    let data = &config.data;
    LoaderOptions {
        input: config.image_input(),
        augment: Augment {
            flip: data.flip,
            pad: if data.crop { data.pad } else { 0 },
            pad_mode: data.pad_mode,
        },
        sampler: match data.sampler {
            config::Sampler::Random => SamplerKind::Random { batch: config.solver.batch },
            config::Sampler::Epochs => SamplerKind::Epochs { batch: config.solver.batch },
            config::Sampler::Pk => {
                SamplerKind::Pk { identities: config.solver.batch / data.pk_images, images: data.pk_images }
            }
        },
        seed: config.run.seed,
        first_step,
        threads: data.workers,
        prefetch: data.workers + 2,
        cache: CacheOptions { limit_mib: data.cache_mib, folder: None },
        bad_images: data.bad_images,
    }
}

/// Steps that a GPU may be busy with while those before them are written down: waiting for the newest would leave it
/// without work.
const RUNNING: usize = 2;
/// Steps whose values may be on their way at a time; more than the host runs ahead of a GPU.
const MOST_PENDING: usize = 256;

/// Keeps what steps measured until it is time to wait for it.
struct Recorder<'a> {
    pending: VecDeque<(u64, Scheduled, PendingOutput)>,
    /// Steps that are not waited for while the run goes on.
    running: usize,
    log: Log,
    observers: Observers<'a>,
    watch: Watch,
}

impl Recorder<'_> {
    /// Waits for all pending steps but the last `running` and hands their values to log and observers.
    fn read_back(&mut self, running: usize) -> Result<()> {
        let mut newest = None;
        let finished = self.pending.len().saturating_sub(running);
        for (number, scheduled, sent) in self.pending.drain(..finished) {
            let (softmax, terms) = (sent.softmax.wait()?, sent.terms.wait()?);
            let step = StepMetrics::new(number, scheduled.rate, scheduled.lambda, softmax[0], &terms);
            self.log.write(&step)?;
            self.observers.measured(&step)?;
            if let Some((loss, value)) = step.not_finite() {
                self.log.flush()?;
                self.observers.caught_up(&step)?;
                return Err(Error::Diverged(format!("step {number}: the {loss} is {value}")));
            }
            if scheduled.lambda > 0.0
                && let Some(warning) = self.watch.see(number, step.inter)
            {
                self.observers.note(&warning);
            }
            newest = Some(step);
        }
        self.log.flush()?;
        newest.map_or(Ok(()), |step| self.observers.caught_up(&step))
    }
}
