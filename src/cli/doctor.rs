//! `bcreid doctor`: what this machine offers, what is missing, how to get it.

use crate::Result;
use crate::device::cpu::simd;
use crate::device::cuda::{fatbin, libraries};
use crate::device::{Device, Precision};
use crate::weights::NetworkFile;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Say what this machine offers and what is missing; with --weights, what a weight file is.
#[derive(Debug, Args)]
pub struct Doctor {
    /// A weight file: its network, wiring, input convention and origin.
    #[arg(long, value_name = "F.safetensors")]
    weights: Option<PathBuf>,
}

impl Doctor {
    pub fn run(self) -> Result<ExitCode> {
        super::say(format_args!("bcreid {}", env!("CARGO_PKG_VERSION")))?;
        super::say(format_args!(
            "cpu: {} threads, {}, {}",
            rayon::current_num_threads(),
            std::env::consts::ARCH,
            if simd::is_wide() { "AVX2 and FMA loops" } else { "portable loops (no AVX2)" }
        ))?;
        super::say(libraries::probe())?;
        match fatbin::embedded() {
            Ok(kernels) => super::say(format_args!("cuda kernels: {kernels}"))?,
            Err(why) => super::say(format_args!("cuda kernels: {why}"))?,
        }
        let (_, which) = Device::choose("auto", Precision::F32)?;
        super::say(format_args!("--device auto takes {}", which.trim_start_matches("device: ")))?;
        if let Some(weights) = &self.weights {
            let file = NetworkFile::open(weights)?;
            file.check()?;
            super::say(file.describe())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
