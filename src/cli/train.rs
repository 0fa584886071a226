//! `bcreid train`.

use super::compute::Compute;
use super::{progress, stop};
use crate::config::Config;
use crate::data::Dataset;
use crate::device::Precision;
use crate::error::Remedy;
use crate::export::tensorboard::Live;
use crate::run::folder::{RunFolder, require_vacant};
use crate::train::{Outcome, Start, Trainer};
use crate::weights::NetworkFile;
use crate::{Result, tell};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Train a network; Ctrl-C saves and stops.
///
/// Without --config the settings are the paper's where it states them: ResNet-50, 256 x 128, batch 16, 50,000
/// iterations. `bcreid config` lists all of them and says which are ours.
#[derive(Debug, Args)]
pub struct Train {
    /// Data set: a Market-1501 or DukeMTMC-reID folder, or one with train.csv.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Weights to start from (the paper: ImageNet's, through bcreid-convert); without it training starts from
    /// random ones. The network's kind, wiring and input convention are the file's.
    #[arg(long, value_name = "F.safetensors", conflicts_with = "resume")]
    weights: Option<PathBuf>,
    /// Settings in a TOML file.
    #[arg(long, value_name = "FILE.toml", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// One setting, on top of the file, e.g. loss.lambda=0; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "resume")]
    settings: Vec<String>,
    /// The run's folder: settings, metrics, checkpoints and weights.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Continue the run in --out from its newest checkpoint, with its own settings, as if never stopped.
    #[arg(long)]
    resume: bool,
    /// Write the curves for TensorBoard too, as they come: tensorboard --logdir RUN.
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    compute: Compute,
    /// On CUDA run every step plainly instead of recording one and replaying it: slower, and the same bits.
    #[arg(long)]
    no_graph: bool,
}

impl Train {
    pub fn run(self) -> Result<ExitCode> {
        let (device, which) = self.compute.choose()?;
        let dataset = Dataset::open(&self.data)?;
        dataset.require_train()?;
        tell!("{which}");
        for note in &dataset.notes {
            tell!("{note}");
        }
        let bar = super::bar("decoding");
        let decoding = |done, total| super::advance(&bar, done, total);
        let (run, config, trainer) = if self.resume {
            let (run, config) = RunFolder::open(&self.out)?;
            let trainer = Trainer::new(&config, &dataset, Start::Resume(&run), &device, &decoding)?;
            (run, config, trainer)
        } else {
            require_vacant(&self.out, Remedy::Resume)?;
            let weights = self.weights.as_deref().map(NetworkFile::open).transpose()?;
            let theirs = weights.as_ref().map(NetworkFile::config);
            let config = Config::resolve_for(theirs, self.config.as_deref(), &self.settings)?;
            if let Some(weights) = &weights {
                tell!("{}", weights.describe());
            }
            let start = weights.as_ref().map_or(Start::Random, Start::Weights);
            let trainer = Trainer::new(&config, &dataset, start, &device, &decoding)?;
            (RunFolder::create(&self.out, &config)?, config, trainer)
        };
        bar.finish_and_clear();
        tell!("loss: {}", config.loss.describe());
        let stop = stop::on_interrupt("finishing this step and saving")?;
        // A run that has curves for TensorBoard goes on with them.
        let tensorboard = self.tensorboard || run.tensorboard().is_dir();
        let mut observers = progress::bar("train", &trainer);
        if tensorboard {
            let (first, reduction) = (trainer.first(), config.loss.reduction);
            observers =
                observers.with(Live::continue_at(&run.tensorboard(), &run.metrics(), first, reduction)?);
        }
        match trainer.with_recording(!self.no_graph).run(&run, &stop, observers)? {
            Outcome::Finished(weights) => {
                super::say(format_args!(
                    "trained {} iterations: {}",
                    config.solver.iterations,
                    weights.display()
                ))?;
                Ok(ExitCode::SUCCESS)
            }
            Outcome::Interrupted(step) => {
                let precision = match self.compute.precision {
                    Precision::F32 => String::new(),
                    other => format!(" --precision {other}"),
                };
                super::say(format_args!(
                    "stopped after {step} of {} iterations, all saved; go on with: bcreid train --data {} --out {} \
                     --resume{precision}",
                    config.solver.iterations,
                    self.data.display(),
                    self.out.display()
                ))?;
                Ok(ExitCode::from(stop::INTERRUPTED))
            }
        }
    }
}
