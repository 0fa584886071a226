//! The options `--device` and `--precision` of the subcommands that compute.

use crate::Result;
use crate::device::{Device, Precision};
use clap::Args;

/// The compute device and its precision.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// Compute device: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,
    /// Precision of convolutions and matrix products: f32, or on CUDA also tf32 or bf16.
    #[arg(long, value_name = "TYPE", default_value_t = Precision::F32)]
    pub precision: Precision,
}

impl Compute {
    /// The requested device, and one line that names it and the reason for the choice.
    ///
    /// # Errors
    /// If the device or its libraries are missing, with how to get them.
    pub fn choose(&self) -> Result<(Device, String)> {
        Device::choose(&self.device, self.precision)
    }
}
