//! The training loop.
//!
//! Book: [chapter 1](../../../../../docs/book/src/01-one-step.md).

use super::agreement;
use super::batches::{loader_options, notes_on_pairs, require_pairs, unlabelled_images};
use super::groups;
use super::observer::{Observer, Observers};
use super::recorder::{MOST_PENDING, RUNNING, Recorder};
use super::rounds;
use super::schedule;
use super::step::{optimizer, step};
use super::step_runner::StepRunner;
use super::validator::Validator;
use crate::Result;
use crate::autograd::{Params, StepValues};
use crate::config::{BatchnormScope, Config};
use crate::console::counted;
use crate::data::{Attributes, Classes, Dataset, Loader};
use crate::device::Device;
use crate::eval::in_training::{self, TestImages};
use crate::files::write_atomically;
use crate::model::{Model, Outputs};
use crate::optim::Optimizer;
use crate::run::checkpoint::{self, Checkpoint, Identity};
use crate::run::collapse::{Origin, Watch};
use crate::run::metrics::{self, Log};
use crate::run::provenance::RunClock;
use crate::run::{RunFolder, RunProvenance};
use crate::weights::NetworkFile;
use crate::weights::provenance::{self, DataSet, Training};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// The initial weights of a run.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a> {
    /// Initial values drawn from the run's seed.
    Random,
    /// Trained weights, for example of ImageNet; the classifier and the centers get initial values.
    Weights(&'a NetworkFile),
    /// The newest checkpoint of the run in this folder.
    Resume(&'a RunFolder),
    /// The same, where another number of ranks goes on than has made the checkpoint: no longer bit for bit.
    ResumeWithOtherRanks(&'a RunFolder),
    /// The state of rank 0, which resumes a run after this number of steps. For the other ranks, which read no folder.
    OfRank0(u64),
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All iterations are done, or `run.patience` evaluations brought no better mAP; the file holds the weights.
    Finished(PathBuf),
    /// Stopped on request after this number of iterations, all of them saved.
    Interrupted(u64),
}

/// A run before its first step: settings, data and weights are checked, and no file is written yet.
///
/// Two steps of a small network on a synthetic data set, and the files of the run:
///
/// ```
/// use bcreid::config::Config;
/// use bcreid::data::Dataset;
/// use bcreid::data::synth::Synth;
/// use bcreid::device::Device;
/// use bcreid::run::RunFolder;
/// use bcreid::train::{Observers, Outcome, Start, Trainer};
/// use std::sync::atomic::AtomicBool;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let data = folder.path().join("data");
/// let sizes = Synth { train_ids: 4, test_ids: 2, cameras: 2, distractors: 0, junk: 0, ..Synth::default() };
/// sizes.write(&data, |_, _| ())?;
///
/// let mut config = Config::resolve_text("", &["model.arch=slim".into(), "model.width=8".into()])?;
/// (config.input.height, config.input.width) = (64, 32);
/// (config.solver.iterations, config.solver.batch) = (2, 4);
/// config.solver.lr_milestones = vec![];
///
/// let device = Device::cpu();
/// let trainer = Trainer::new(&config, &Dataset::open(&data)?, Start::Random, &device, &|_, _| ())?;
/// let run = RunFolder::create(&folder.path().join("run"), &config)?;
/// // When a handler of Ctrl-C sets it, the run saves a checkpoint and ends.
/// let stop = AtomicBool::new(false);
/// let outcome = trainer.run(&run, &stop, Observers::none())?;
/// assert_eq!(outcome, Outcome::Finished(run.weights()));
/// assert_eq!(std::fs::read_to_string(run.metrics())?.lines().count(), 2);
/// # Ok(())
/// # }
/// ```
pub struct Trainer {
    config: Config,
    device: Device,
    model: Model,
    params: Params,
    optimizer: Box<dyn Optimizer + Send>,
    loader: Loader,
    identity: Identity,
    provenance: RunProvenance,
    first: u64,
    origin: Origin,
    /// Images that were left out, each with the reason.
    skipped: Vec<String>,
    /// The images of evaluations during training; `None` without such evaluations.
    test_images: Option<TestImages>,
    /// Notes on these evaluations.
    notes: Vec<String>,
    may_capture: bool,
}

impl Trainer {
    /// Builds the network, loads weights, decodes the data set. `progress` receives the number of decoded images and
    /// the number of all images.
    ///
    /// # Errors
    /// Unreadable images; a data set or weights that do not fit the settings.
    pub fn new(
        config: &Config,
        dataset: &Dataset,
        start: Start<'_>,
        device: &Device,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self> {
        let mut split = in_training::split(config, dataset)?;
        let notes = split.as_mut().map(|split| std::mem::take(&mut split.notes)).unwrap_or_default();
        let reduced = split.as_ref().map(|split| split.train.clone());
        let dataset = reduced.as_ref().unwrap_or(dataset);
        let classes = Classes::named(&dataset.train, &dataset.labels)?;
        let attributes = attributes(config, dataset, &classes)?;
        let outputs = Outputs { classes: classes.len(), attributes: attributes.as_ref() };
        let mut first = 0;
        let (model, mut params) = match start {
            Start::Random => Model::new(config, outputs, device)?,
            Start::Weights(file) => file.start(config, outputs, device)?,
            Start::Resume(run) | Start::ResumeWithOtherRanks(run) => {
                let (model, specs) = Model::declare(config, outputs, device)?;
                first = checkpoint::check_newest(&run.checkpoints(), config, &classes, &specs)?;
                (model, Params::new(device, &specs)?)
            }
            Start::OfRank0(done) => {
                let (model, specs) = Model::declare(config, outputs, device)?;
                first = done;
                (model, Params::new(device, &specs)?)
            }
        };
        groups::apply(config, &model, &mut params, first)?;
        let mut optimizer = optimizer(&params, config)?;
        let options = loader_options(config, first);
        let unlabelled = config.data.unlabelled.as_deref().map(unlabelled_images).transpose()?;
        let unlabelled = unlabelled.unwrap_or_default();
        let samples = [&dataset.train[..], &unlabelled].concat();
        let loader = Loader::new(&samples, &classes, options, device, progress)?;
        require_pairs(config, &loader)?;
        let left_out = loader.skipped().len();
        let data = DataSet { unlabelled: unlabelled.len() as u64, ..DataSet::of(dataset, left_out) };
        let data = data.with_attributes(attributes.as_ref());
        let provenance = provenance(start, data, device)?;
        let identity = Identity::new(config, &classes, &loader, device, &provenance.training)
            .with_attributes(attributes.as_ref())
            .accepting_other_ranks(matches!(start, Start::ResumeWithOtherRanks(_)));
        if let Start::Resume(run) | Start::ResumeWithOtherRanks(run) = start {
            checkpoint::restore(&run.checkpoints(), &identity, &mut params, &mut *optimizer)?;
        }
        agreement::start(&device.group(), &identity, device, &mut params, &mut *optimizer)?;
        let test_images = split.map(|split| split.decode(config, progress)).transpose()?;
        let fingerprint = test_images.as_ref().map(TestImages::fingerprint).unwrap_or_default();
        agreement::check_test_images(&device.group(), &fingerprint)?;
        // Each error names its image.
        let skipped = loader.skipped().iter().map(|(_, error)| error.line());
        let skipped = skipped.chain(test_images.iter().flat_map(|test| test.skipped.clone())).collect();
        let config = config.clone();
        let device = device.clone();
        let may_capture = true;
        let origin = match start {
            Start::Random => Origin::Random,
            Start::Weights(_) => Origin::Trained,
            Start::Resume(_) | Start::ResumeWithOtherRanks(_) | Start::OfRank0(_) => Origin::Unknown,
        };
        Ok(Trainer {
            config,
            device,
            model,
            params,
            optimizer,
            loader,
            identity,
            provenance,
            first,
            origin,
            skipped,
            test_images,
            notes,
            may_capture,
        })
    }

    /// Allows or forbids the capture of steps on a GPU. Capture is allowed by default and changes no bit of the result.
    pub fn with_capture(self, may_capture: bool) -> Self {
        Trainer { may_capture, ..self }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the steps are computed on the CPU.
    pub fn is_on_cpu(&self) -> bool {
        matches!(self.device, Device::Cpu(_))
    }

    /// Start, data, version and devices, as the weights of the run will state them.
    pub fn provenance(&self) -> &Training {
        &self.provenance.training
    }

    /// The number of the first step: 0, or the number of finished steps of a resumed run.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Trains until all iterations are done or `stop` is set, writing into `run`.
    ///
    /// # Errors
    /// A loss that is not finite; a full disk; errors of observers. The last good checkpoint survives, and the error
    /// names it.
    pub fn run(self, run: &RunFolder, stop: &AtomicBool, observers: Observers<'_>) -> Result<Outcome> {
        Ok(match self.train(Some(run), stop, observers)? {
            None => Outcome::Finished(run.weights()),
            Some(done) => Outcome::Interrupted(done),
        })
    }

    /// As [`Trainer::run`], on a rank other than 0, which writes no files. Returns the number of finished steps if the run
    /// was stopped, on request to any rank, and otherwise `None`.
    ///
    /// # Errors
    /// A loss that is not finite; a rank that fails.
    pub fn follow(self, stop: &AtomicBool) -> Result<Option<u64>> {
        self.train(None, stop, Observers::none())
    }

    /// Trains; writes into `run` if it is given. Returns the number of finished steps if the run was stopped.
    fn train(
        self,
        run: Option<&RunFolder>,
        stop: &AtomicBool,
        observers: Observers<'_>,
    ) -> Result<Option<u64>> {
        let Trainer {
            config,
            device,
            model,
            mut params,
            mut optimizer,
            mut loader,
            identity,
            provenance,
            first,
            origin,
            skipped,
            test_images,
            notes,
            may_capture,
        } = self;
        let group = device.group();
        let mut values = StepValues::new(&device, config.run.seed)?.with_scalars(&schedule::SCALARS)?;
        optimizer.prepare(&params)?;
        let mut step_runner = StepRunner::new(&device, may_capture);
        let mut recorder = Recorder {
            pending: VecDeque::new(),
            running: match device {
                Device::Cpu(_) => 0,
                Device::Cuda(_) => RUNNING,
            },
            log: run.map(|run| Log::continue_at(&run.metrics(), first)).transpose()?,
            observers,
            watch: Watch::new(&config, origin),
            softmax_weight: config.loss.softmax.weight,
            metric_losses: config.loss.metric_losses(),
            has_unlabelled: config.data.unlabelled.is_some(),
        };
        if let Some(run) = run.filter(|_| first > 0) {
            // The steps before the interruption count for the verdict at the end. The file may have been moved away.
            let earlier = metrics::read(&run.metrics()).unwrap_or_default();
            earlier.iter().for_each(|step| recorder.watch.add(step));
        }
        let checkpoint = run.map(|run| Checkpoint {
            folder: run.checkpoints(),
            kept: config.run.checkpoints_kept,
            identity,
            steps_per_epoch: loader.steps_per_epoch(),
        });
        let name_last_good = |error| match &checkpoint {
            Some(checkpoint) => checkpoint.name_last_good(error),
            None => error,
        };
        if let (Some(run), Some(example)) = (run, skipped.first()) {
            let (list, images) = (run.skipped(), counted(skipped.len(), "image"));
            write_atomically(&list, |w| w.write_all((skipped.join("\n") + "\n").as_bytes()))?;
            recorder.observers.note(&format!("{images} left out (see {}): {example} ...", list.display()));
        }
        if group.ranks() == 1 && config.solver.batchnorm_scope != BatchnormScope::All {
            recorder.observers.note("solver.batchnorm_scope has no effect with one rank");
        }
        let unused = notes.into_iter().chain(config.unused()).chain(schedule::ineffective(&config));
        for note in unused.chain(notes_on_pairs(&config, &loader)) {
            recorder.observers.note(&note);
        }
        let clock = RunClock::start(provenance);
        if let (Some(run), Some(checkpoint)) = (run, &checkpoint) {
            clock.write(run).map_err(name_last_good)?;
            if first == 0 {
                // A run that is resumed before its first checkpoint must continue from the same initial weights.
                checkpoint.save(0, &params, &*optimizer).map_err(name_last_good)?;
            }
        }

        let validator = test_images
            .map(|images| Validator::new(images, &config, run, &group, first, &mut recorder.observers))
            .transpose();
        let mut validator = validator.map_err(name_last_good)?;
        // The run may have been killed between a checkpoint and the evaluation that follows it.
        if let Some(validator) = validator.as_mut().filter(|validator| validator.is_due(first)) {
            let observers = &mut recorder.observers;
            let checkpoint = checkpoint.as_ref();
            let evaluated =
                validator.evaluate(first, &model, &mut params, &mut *optimizer, checkpoint, observers);
            evaluated.map_err(name_last_good)?;
        }
        let end = |validator: &Option<Validator>| validator.as_ref()?.end(config.solver.iterations);

        for number in first..config.solver.iterations {
            if let Some(why) = end(&validator) {
                recorder.observers.note(&why);
                break;
            }
            if groups::is_boundary(&config, number) {
                // Another step than before: other gradients, other statistics. It is captured anew, and the old one
                // no longer holds the weights.
                step_runner = StepRunner::new(&device, may_capture);
                let begun = groups::freeze(&config, &model, &mut params, number)
                    .and_then(|()| rounds::begin(&config, &model, &mut params, &mut *optimizer, number))
                    .and_then(|said| optimizer.prepare(&params).map(|()| said));
                let said = begun.map_err(name_last_good)?;
                said.iter().for_each(|said| recorder.observers.note(said));
            }
            // ANCHOR: iteration
            let scheduled = schedule::at(&config, number);
            let ran = loader.prepare().and_then(|()| {
                values.set(number, &scheduled.scalars())?;
                step_runner.run(|| {
                    let batch = loader.batch(&values)?;
                    step(&model, &mut params, &mut *optimizer, &values, batch, &config)
                })
            });
            let sent = ran.map_err(name_last_good)?;
            if let Some(capture_error) = step_runner.take_capture_error() {
                recorder.observers.note(&capture_error);
            }
            recorder.pending.push_back((number, scheduled, sent));
            // ANCHOR_END: iteration

            let done = number + 1;
            let last = done == config.solver.iterations;
            // A request to one rank stops all of them, after the same step.
            let stopping = u64::from(stop.load(Ordering::Relaxed));
            let stopping = group.largest("the request to stop", stopping).map_err(name_last_good)? != 0;
            let due = validator.as_ref().is_some_and(|validator| validator.is_due(done));
            let save = last || stopping || due || done % config.run.checkpoint_every == 0;
            recorder.observers.issued(done);
            if save || done % config.run.log_every == 0 || recorder.pending.len() >= MOST_PENDING {
                let running = if save { 0 } else { recorder.running };
                recorder.read_back(running).map_err(name_last_good)?;
            }
            if save {
                agreement::check(&group, &params, &*optimizer).map_err(name_last_good)?;
            }
            if let (true, Some(run), Some(checkpoint)) = (save, run, &checkpoint) {
                let synced = recorder.log.as_mut().map_or(Ok(()), Log::sync);
                let saved = synced.and_then(|()| checkpoint.save(done, &params, &*optimizer));
                let saved = saved.and_then(|()| clock.write(run));
                saved.map_err(name_last_good)?;
                recorder.observers.saved(done);
                if let Err(error) = checkpoint.prune() {
                    recorder.observers.note(&format!("an old checkpoint stays: {error}"));
                }
            }
            // A run that is stopped evaluates when it is resumed.
            if let Some(validator) = validator.as_mut().filter(|_| due && (last || !stopping)) {
                let observers = &mut recorder.observers;
                let checkpoint = checkpoint.as_ref();
                let evaluated =
                    validator.evaluate(done, &model, &mut params, &mut *optimizer, checkpoint, observers);
                evaluated.map_err(name_last_good)?;
            }
            if stopping && !last {
                recorder.observers.ended();
                return Ok(Some(done));
            }
        }
        if let Some(warning) = recorder.watch.at_end() {
            recorder.observers.note(&warning);
        }
        recorder.observers.ended();
        if let (Some(run), Some(checkpoint)) = (run, &checkpoint) {
            let written = optimizer.average(&params).and_then(|average| {
                checkpoint.write_weights(&run.weights(), average.as_deref().unwrap_or(&params))
            });
            written.map_err(name_last_good)?;
        }
        Ok(None)
    }
}

/// The provenance of a run. A resumed run keeps that of its beginning; the data set of a run of an earlier version is
/// recorded then, because its images are compared with those of the checkpoint.
fn provenance(start: Start<'_>, data: DataSet, device: &Device) -> Result<RunProvenance> {
    let (start, device) = match start {
        Start::Random => (provenance::Start::Random, device.describe()),
        Start::Weights(file) => (provenance::Start::Weights(file.weights_file()), device.describe()),
        Start::OfRank0(_) => return Ok(RunProvenance::default()),
        Start::Resume(run) | Start::ResumeWithOtherRanks(run) => {
            let mut training =
                checkpoint::training_of_newest(&run.checkpoints())?.resumed(&device.describe());
            training.data.get_or_insert(data);
            let before = RunProvenance::read(run)?.unwrap_or_default();
            return Ok(RunProvenance { training, ..before });
        }
    };
    Ok(RunProvenance::begin(Training::new(start, data, &device)))
}

/// The attributes of the identities, if the run has a loss of attributes.
fn attributes(config: &Config, dataset: &Dataset, classes: &Classes) -> Result<Option<Attributes>> {
    let file = config.data.attributes.as_ref().filter(|_| config.loss.attributes.weight != 0.0);
    file.map(|file| Attributes::read(file.as_ref(), classes, &dataset.labels)).transpose()
}
