//! The content of a weight file: named tensors, wiring and input convention of the network.

use crate::{Error, Result};
use bcreid::config::{Input, Wiring};
use bcreid::files::{Format, Wanted};
use std::collections::BTreeMap;
use std::path::Path;

/// Options about a network's wiring, for files that do not state it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Wiring: the places of strides and pooling (`--wiring`).
    pub wiring: Option<Wiring>,
    /// Stride of the last stage, 1 or 2 (`--last-stride`).
    pub last_stride: Option<usize>,
}

/// Content of a weight file.
#[derive(Debug)]
pub struct Source {
    /// Name of the container, e.g. `PyTorch zip archive`.
    pub format: String,
    /// Default wiring of the network; an option overrides it.
    pub wiring: Wiring,
    /// Stride of the last stage, 1 or 2; 2 if the file does not state it.
    pub last_stride: usize,
    /// Default input convention, which depends on the training and not on the wiring; options override it.
    pub input: Input,
    /// Tensors by name. Names are torchvision's where the container has a dictionary for them (Caffe), else the
    /// file's own without the prefixes of wrappers; shapes are PyTorch's, convolutions `[K, C, R, S]`.
    pub tensors: BTreeMap<String, SourceTensor>,
    /// True if the file states the input convention; otherwise it is the default of the container.
    pub states_input: bool,
    /// True if the file is known to have all tensors of the network, so that its depth follows from them and need not
    /// be a known depth.
    pub is_whole: bool,
    /// Notes for the user about reading the file.
    pub notes: Vec<String>,
}

/// Placeholder for an element type that cannot be read.
pub const UNREAD: &str = "?";

/// A tensor whose values are not read yet.
pub struct SourceTensor {
    /// Shape, slowest dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Element type in the file, e.g. `f16`, or [`UNREAD`].
    pub dtype: &'static str,
    /// Reads the values in row-major order as f32 (rounded from f64; integers converted).
    read: Box<dyn Fn() -> Result<Vec<f32>>>,
}

impl SourceTensor {
    /// Creates a tensor whose values `read` returns, as many as the shape requires.
    pub fn new(
        shape: Vec<usize>,
        dtype: &'static str,
        read: impl Fn() -> Result<Vec<f32>> + 'static,
    ) -> Self {
        SourceTensor { shape, dtype, read: Box::new(read) }
    }

    /// The values in row-major order.
    ///
    /// # Errors
    /// An error of the file or of the file system.
    pub fn values(&self) -> Result<Vec<f32>> {
        (self.read)()
    }
}

impl std::fmt::Debug for SourceTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.dtype, self.shape)
    }
}

/// Refuses a file of a known format that holds no weights which can be converted.
///
/// # Errors
/// The name of the format, and how to get a usable file.
pub(crate) fn refuse_foreign(path: &Path, head: &[u8]) -> Result<()> {
    match Format::of(head) {
        None | Some(Format::Caffe | Format::CaffeMean) => Ok(()),
        Some(format) => {
            Err(Error::weights(path, format!("is {}; {}", format.name(), format.fix(path, Wanted::Weights))))
        }
    }
}
