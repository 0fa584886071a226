//! `bcreid doctor`: a check of the machine's CPU, CUDA driver and libraries, and of weight files.

use crate::Result;
use crate::console::counted;
use crate::device::cpu;
use crate::device::cuda::{fatbin, libraries};
use crate::device::{Device, Precision};
use crate::model::Model;
use crate::ranks::{Launcher, mpi};
use crate::run::{Layout, RunProvenance, validation};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check this machine: CPU, CUDA driver, libraries and how to get missing ones; with --weights, check a weight file.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A run or a weight file to check and describe: network, wiring, input convention and provenance.
    #[arg(long, visible_alias = "run", value_name = "RUN|F.safetensors")]
    weights: Option<PathBuf>,
}

impl Doctor {
    pub fn run(self) -> Result<ExitCode> {
        super::say(format_args!("bcreid {}", env!("CARGO_PKG_VERSION")))?;
        super::say(format_args!(
            "cpu: {}, {}",
            counted(rayon::current_num_threads(), "thread"),
            cpu::describe()
        ))?;
        super::say(format_args!("threads: {}", cpu::threads::describe()))?;
        super::say_lines(libraries::probe())?;
        match fatbin::embedded() {
            Ok(kernels) => super::say_lines(format_args!("cuda kernels: {kernels}"))?,
            Err(why) => super::say(format_args!("cuda kernels: {why}"))?,
        }
        let (_, which) = Device::choose("auto", Precision::F32)?;
        let which = which.trim_start_matches("device: ");
        match Device::without_cuda() {
            None => {
                super::say(format_args!("--device auto takes {which}"))?;
                super::say(format_args!(
                    "batch norm: own kernels, which fuse the residual and the ReLU; --batchnorm cudnn takes cuDNN's"
                ))?;
            }
            Some(why) => {
                super::say(format_args!("--device auto takes {which}, because CUDA is missing: {why}"))?
            }
        }
        match mpi::describe(Launcher::None) {
            Ok(library) => {
                super::say(format_args!("mpi: {library}, for several ranks (mpirun -n N bcreid train ...)"))?
            }
            Err(_) => super::say(format_args!(
                "mpi: no library; only several ranks need one (Debian, Ubuntu: apt install mpich; PyPI: mpich)"
            ))?,
        }
        if let Some(weights) = &self.weights {
            let file = super::open_network(weights)?;
            file.check()?;
            super::say_lines(file.describe())?;
            let (network, _) = Model::declare(file.config(), 0, &Device::cpu())?;
            let values = counted(network.features(), "value");
            super::say(format_args!("  features: {values}, layer {}", network.layer()))?;
            if weights.is_dir() {
                let run = RunProvenance::read(&Layout::of(weights))?.unwrap_or_default();
                super::say(format_args!("  began: {}", run.began_in_words()))?;
                super::say(format_args!("  time of training: {}", run.duration_in_words()))?;
                if let Some(best) = validation::read_best(&Layout::of(weights))? {
                    let (figures, done) = (best.in_words(), best.iterations);
                    super::say(format_args!(
                        "  best evaluation: {figures} after {done} iterations (best.safetensors)"
                    ))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
