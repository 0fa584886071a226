//! The choices that the bits of results depend on: the precision, and the backend of batch normalisation.

use super::Precision;
use std::fmt;
use std::str::FromStr;

/// The backend of batch normalisation on a CUDA device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNormBackend {
    /// The kernels of this program (`cuda/batchnorm.cu`), which fuse the residual and the ReLU.
    #[default]
    Own,
    /// cuDNN, with element-wise kernels of this program for the residual and the ReLU.
    Cudnn,
}

/// The number format of a device and its batch normalisation. A [`Precision`] converts to it, with the default of the
/// latter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numerics {
    /// The number format of convolutions and matrix products.
    pub precision: Precision,
    /// The backend of batch normalisation.
    pub batchnorm: BatchNormBackend,
}

impl From<Precision> for Numerics {
    fn from(precision: Precision) -> Self {
        Numerics { precision, batchnorm: BatchNormBackend::default() }
    }
}

/// For example `f32`, or `bf16, batch norm by cudnn`: the default is not named.
impl fmt::Display for Numerics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.precision.fmt(f)?;
        match self.batchnorm {
            BatchNormBackend::Own => Ok(()),
            other => write!(f, ", batch norm by {other}"),
        }
    }
}

impl fmt::Display for BatchNormBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BatchNormBackend::Own => "own",
            BatchNormBackend::Cudnn => "cudnn",
        })
    }
}

impl FromStr for BatchNormBackend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [BatchNormBackend::Own, BatchNormBackend::Cudnn]
            .into_iter()
            .find(|backend| backend.to_string() == text)
            .ok_or_else(|| "choose own or cudnn".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_not_named() {
        let numerics = |precision, batchnorm| Numerics { precision, batchnorm }.to_string();
        assert_eq!(numerics(Precision::F32, BatchNormBackend::Own), "f32");
        assert_eq!(numerics(Precision::Bf16, BatchNormBackend::Cudnn), "bf16, batch norm by cudnn");
        assert_eq!(Numerics::from(Precision::Tf32).batchnorm, BatchNormBackend::Own);
    }

    #[test]
    fn a_backend_is_read_by_its_name() {
        for backend in [BatchNormBackend::Own, BatchNormBackend::Cudnn] {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert_eq!("cuDNN".parse::<BatchNormBackend>(), Err("choose own or cudnn".into()));
    }
}
