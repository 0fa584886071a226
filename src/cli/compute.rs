//! The options `--device` and `--precision` of the subcommands that compute.

use crate::Result;
use crate::device::{Device, Precision};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum, ValueHint};

/// The compute device and its precision.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// Compute device: auto, cpu, cuda or cuda:N.
    #[arg(long, value_name = "DEVICE", value_hint = ValueHint::Other, default_value = "auto")]
    device: String,
    /// Precision of convolutions and matrix products: f32, or on CUDA also tf32 or bf16.
    #[arg(long, value_name = "TYPE", value_enum, hide_possible_values = true, default_value_t = Precision::F32)]
    pub precision: Precision,
}

/// The values of the flag. The library itself does not use clap.
impl ValueEnum for Precision {
    fn value_variants<'a>() -> &'a [Self] {
        &[Precision::F32, Precision::Tf32, Precision::Bf16]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        }))
    }
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
