//! `bcreid train`: training of a network.
//!
//! Book: [chapter 1](../../../../../docs/book/src/01-one-step.md).

use super::compute::Compute;
use super::counter::Counter;
use super::data::Opening;
use super::ranks::Ranks;
use super::settings::Settings;
use super::{progress, stop, trained};
use crate::config::Config;
use crate::console::counted;
use crate::data::Dataset;
use crate::device::Device;
use crate::error::Remedy;
use crate::eval::stored_evaluation;
use crate::export::tensorboard::Live;
use crate::ranks::Group;
use crate::run::checkpoint;
use crate::run::folder::{RunFolder, require_vacant};
use crate::train::{Outcome, Start, Trainer};
use crate::weights::NetworkFile;
use crate::{Error, Result, note, shell, tell};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Names of what rank 0 sends to the others when a run is resumed.
const SETTINGS: &str = "the settings of the run";
const STEPS: &str = "the number of finished steps";

/// Train a network; Ctrl-C saves a checkpoint and stops.
///
/// Without --config the settings are the paper's where it states them: ResNet-50, 256 x 128, batch 16, 50,000
/// iterations. `bcreid config` lists all settings with their sources.
#[derive(Debug, Args)]
pub struct Train {
    /// The data set's folder; of several, whose identities are other persons, all training images are used.
    #[arg(long, value_name = "DIR", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    opening: Opening,
    /// Initial weights (the paper: ImageNet weights, converted with bcreid-convert; default: random weights). The
    /// architecture, wiring and input convention are those of the file.
    #[arg(long, value_name = "RUN|F.safetensors", conflicts_with = "resume")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The run folder: settings, metrics, checkpoints and weights.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Resume the run in --out from its newest checkpoint, with its own settings and the same results.
    #[arg(long, conflicts_with_all = ["files", "settings"])]
    resume: bool,
    /// With --resume: the new number of iterations, to train a run longer (or to end it earlier). The learning rate
    /// stays that of the settings: behind the last milestone it does not change. A cosine or exponential schedule ends
    /// with the run, and refuses another number.
    #[arg(long, value_name = "N", requires = "resume", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,
    /// Also write the curves for TensorBoard during training: tensorboard --logdir RUN.
    #[arg(long)]
    tensorboard: bool,
    /// With --resume: go on with another number of ranks than the run had. The results are no longer bit for bit those of
    /// the undisturbed run.
    #[arg(long, requires = "resume")]
    other_ranks: bool,
    #[command(flatten)]
    ranks: Ranks,
    #[command(flatten)]
    compute: Compute,
    /// On CUDA, launch the kernels of every step instead of replaying a captured CUDA graph: slower, with the same
    /// bits.
    #[arg(long)]
    no_graph: bool,
    /// On CUDA, compute the gradients of filters and update the weights in the stream of all other work instead of a
    /// second one, with the same bits.
    #[arg(long)]
    one_stream: bool,
}

impl Train {
    /// The options of the data sets as they are typed, for a command to be copied.
    fn typed_data(&self) -> String {
        let folders: Vec<String> = self.data.iter().map(|folder| shell::quoted(folder)).collect();
        format!("--data {}{}", folders.join(" "), self.opening.typed())
    }

    /// Initial weights and settings of a new run, whose folder rank 0 may make.
    fn new_run(&self, is_first: bool) -> Result<(Option<NetworkFile>, Config)> {
        if is_first {
            require_vacant(&self.out, Remedy::Resume)?;
        }
        let weights = self.weights.as_deref().map(super::open_network).transpose()?;
        let of_weights = weights.as_ref().map(NetworkFile::config);
        let config = self.settings.resolve(of_weights)?;
        Ok((weights, config))
    }

    /// Trains on a rank other than 0, which reads and writes no file of the run.
    fn follow(
        &self,
        group: &Group,
        new: Option<(Option<NetworkFile>, Config)>,
        dataset: &Dataset,
        device: &Device,
    ) -> Result<ExitCode> {
        let trainer = match new {
            Some((weights, config)) => {
                let start = weights.as_ref().map_or(Start::Random, Start::Weights);
                Trainer::new(&config, dataset, start, device, &|_, _| ())?
            }
            None => {
                let config = Config::resolve_text(&group.broadcast_text(SETTINGS, "")?, &[])?;
                let mut done = [0];
                group.broadcast(STEPS, &mut done)?;
                Trainer::new(&config, dataset, Start::OfRank0(done[0]), device, &|_, _| ())?
            }
        };
        // Rank 0 says what it saves.
        let stop = stop::on_signal("");
        match trainer.follow(&stop)? {
            None => Ok(ExitCode::SUCCESS),
            Some(_) => Ok(stop::exit_code()),
        }
    }

    pub fn run(self) -> Result<ExitCode> {
        let group = self.ranks.join()?;
        // clap does not require --resume where an option is given that excludes it.
        if let Some(iterations) = self.iterations.filter(|_| !self.resume) {
            return Err(Error::Config(format!(
                "--iterations {iterations} is the new end of a run that is resumed, and --resume is not given; a new run \
                 takes --set solver.iterations={iterations}"
            )));
        }
        // Settings are checked before data sets are read.
        let new = if self.resume { None } else { Some(self.new_run(group.is_first())?) };
        let (device, which) = self.compute.choose()?;
        let device = device.in_group(group.clone())?;
        device.use_one_stream(self.one_stream);
        let dataset = Dataset::join(self.opening.open_all(&self.data)?)?;
        match group.ranks() {
            1 => note!("{which}"),
            ranks => note!("{which}; {ranks} ranks, each with its share of every batch"),
        }
        super::tell_notes(&dataset.notes);
        let bar = Counter::new("decoding");
        let decoding = |done, total| bar.advance(done, total);
        if !group.is_first() {
            return self.follow(&group, new, &dataset, &device);
        }
        let (run, config, trainer) = if let Some((weights, config)) = new {
            if let Some(weights) = &weights {
                weights.describe().lines().for_each(|line| note!("{line}"));
            }
            let start = weights.as_ref().map_or(Start::Random, Start::Weights);
            let trainer = Trainer::new(&config, &dataset, start, &device, &decoding)?;
            (RunFolder::create(&self.out, &config)?, config, trainer)
        } else {
            let (run, mut config) = RunFolder::open(&self.out)?;
            if let Some(iterations) = self.iterations {
                checkpoint::require_done_within(&run.checkpoints(), iterations)?;
                config.solver.iterations = iterations;
            }
            group.broadcast_text(SETTINGS, &config.to_toml())?;
            let done = checkpoint::newest_step(&run.checkpoints())?.unwrap_or(0);
            group.broadcast(STEPS, &mut [done])?;
            let start =
                if self.other_ranks { Start::ResumeWithOtherRanks(&run) } else { Start::Resume(&run) };
            let trainer = Trainer::new(&config, &dataset, start, &device, &decoding)?;
            if self.iterations.is_some() {
                run.write_config(&config)?;
            }
            trained::say_resumed(&self.out, trainer.first(), config.solver.iterations);
            (run, config, trainer)
        };
        bar.finish();
        note!("loss: {}", config.loss.describe());
        let stop = stop::on_signal("finishing this step and saving");
        // A resumed run with an event file continues it, with or without --tensorboard.
        let tensorboard = self.tensorboard || run.tensorboard().is_dir();
        let provenance = trainer.provenance().clone();
        let mut observers = progress::bar("train", &trainer);
        if tensorboard {
            let (first, reduction) = (trainer.first(), config.loss.batch_contrastive.reduction);
            observers = observers.with(Live::continue_at(
                &run.make_tensorboard()?,
                &run,
                first,
                reduction,
                &provenance,
            )?);
            // The new event file has the curves, and those of an earlier `bcreid tensorboard` go.
            let evaluations = stored_evaluation::folders(run.path())?;
            if self.resume && !evaluations.is_empty() {
                tell!(
                    "the event file for TensorBoard is written anew, without {}; add them after the training with: \
                     bcreid tensorboard {}",
                    counted(evaluations.len(), "stored evaluation"),
                    shell::quoted(&self.out)
                );
            }
        }
        let (started, first) = (Instant::now(), trainer.first());
        // ANCHOR: hand_over
        match trainer.with_capture(!self.no_graph).run(&run, &stop, observers)? {
            // ANCHOR_END: hand_over
            Outcome::Finished(_) => {
                // Fewer than the settings ask for, if the run ended early.
                let done = checkpoint::newest_step(&run.checkpoints())?.unwrap_or(config.solver.iterations);
                trained::say(&run, &dataset, &self.typed_data(), first..done, started.elapsed())?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Interrupted(step) => {
                let (launcher, device) = match group.ranks() {
                    1 => (String::new(), ""),
                    ranks => (format!("mpirun -n {ranks} "), " --device cpu"),
                };
                super::say(format_args!(
                    "stopped after {step} of {}, all saved; resume with: {launcher}bcreid train {} --out {} --resume{device}{}",
                    counted(config.solver.iterations, "iteration"),
                    self.typed_data(),
                    shell::quoted(&self.out),
                    self.compute.flags()
                ))?;
                Ok(stop::exit_code())
            }
        }
    }
}
