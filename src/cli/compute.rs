//! `--device` and `--precision`: where and in what a subcommand computes.

use crate::Result;
use crate::device::{Device, Precision};
use clap::Args;

/// Where and in what to compute.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// What convolutions and matrix products are computed in: f32, or on CUDA also tf32 or bf16.
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    pub precision: Precision,
}

impl Compute {
    /// The device asked for, and one line that says which it is and why.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn choose(&self) -> Result<(Device, String)> {
        Device::choose(&self.device, self.precision)
    }
}
