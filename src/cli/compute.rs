//! The options `--device`, `--precision` and `--batchnorm` of the subcommands that compute.

use crate::Result;
use crate::device::{BatchNormBackend, Device, Numerics, Precision};
use crate::ranks::Place;
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum, ValueHint};

/// The compute device, its precision and its batch normalisation.
#[derive(Clone, Debug, Args)]
pub struct Compute {
    /// Compute device: auto, cpu, cuda or cuda:N. Of several ranks on a host each takes a GPU of its own with cuda.
    #[arg(long, value_name = "DEVICE", value_hint = ValueHint::Other, default_value = "auto")]
    device: String,
    /// Precision of convolutions and matrix products: f32, bf16, or on CUDA also tf32.
    #[arg(long, value_name = "TYPE", value_enum, hide_possible_values = true, default_value_t = Precision::F32)]
    precision: Precision,
    /// Batch normalisation on CUDA: by this program's kernels (own) or by cuDNN (cudnn).
    #[arg(
        long,
        value_name = "BY",
        value_enum,
        hide_possible_values = true,
        default_value_t = BatchNormBackend::Own
    )]
    batchnorm: BatchNormBackend,
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

impl ValueEnum for BatchNormBackend {
    fn value_variants<'a>() -> &'a [Self] {
        &[BatchNormBackend::Own, BatchNormBackend::Cudnn]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            BatchNormBackend::Own => "own",
            BatchNormBackend::Cudnn => "cudnn",
        }))
    }
}

impl Compute {
    /// The choices that the bits of results depend on.
    pub fn numerics(&self) -> Numerics {
        Numerics { precision: self.precision, batchnorm: self.batchnorm }
    }

    /// The flags of those choices that are not the default, each behind a space.
    pub fn flags(&self) -> String {
        let Numerics { precision, batchnorm } = self.numerics();
        let mut flags = String::new();
        if precision != Precision::default() {
            flags += &format!(" --precision {precision}");
        }
        if batchnorm != BatchNormBackend::default() {
            flags += &format!(" --batchnorm {batchnorm}");
        }
        flags
    }

    /// The requested device, and one line that names it and the reason for the choice.
    ///
    /// # Errors
    /// If the device or its libraries are missing, with how to get them.
    pub fn choose(&self) -> Result<(Device, String)> {
        let place = Place::from_environment()?;
        let wish = match &*self.device {
            // Each rank of a host has a GPU of its own.
            "cuda" if !place.is_alone() => format!("cuda:{}", place.local_rank),
            "auto" if !place.is_alone() && Device::without_cuda().is_none() => {
                format!("cuda:{}", place.local_rank)
            }
            other => other.into(),
        };
        Device::choose(&wish, self.numerics())
    }
}
