//! What a weight file of somebody else's holds: named tensors, and how the network is wired.

use crate::{Error, Result};
use bcreid::config::{Input, Wiring};
use bcreid::files::{Format, Wanted};
use std::collections::BTreeMap;
use std::path::Path;

/// Options about a network's wiring. They apply where a file states none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Where the network strides and pools (`--wiring`).
    pub wiring: Option<Wiring>,
    /// The stride of its last stage, 1 or 2 (`--last-stride`).
    pub last_stride: Option<usize>,
}

/// What a file holds.
#[derive(Debug)]
pub struct Source {
    /// The container, in words, e.g. `PyTorch zip archive`.
    pub format: String,
    /// How the network is wired unless somebody says otherwise.
    pub wiring: Wiring,
    /// The stride of its last stage, 1 or 2, where the file says it; else 2.
    pub last_stride: usize,
    /// Which pixels it wants unless somebody says otherwise: a matter of who trained it, not of its wiring.
    pub input: Input,
    /// By name. Names are torchvision's where the container has a dictionary for them (Caffe), else the
    /// file's own without what wrappers put in front; shapes are PyTorch's, convolutions `[K, C, R, S]`.
    pub tensors: BTreeMap<String, SourceTensor>,
    /// Whether the file says which pixels; else they are those of its container's custom.
    pub states_input: bool,
    /// Whether the tensors are known to be all of a network, so that its depth is what is there, and not something
    /// to be compared with the depths that are known.
    pub is_whole: bool,
    /// What a person should know about how the file was read.
    pub notes: Vec<String>,
}

/// What stands for an element type that is not read.
pub const UNREAD: &str = "?";

/// One tensor, its values not yet read.
pub struct SourceTensor {
    /// Its sizes, slowest first; none for a scalar.
    pub shape: Vec<usize>,
    /// The element type in the file, e.g. `f16`, or [`UNREAD`].
    pub dtype: &'static str,
    /// Reads the values in row-major order as f32 (rounded from f64; integers converted).
    read: Box<dyn Fn() -> Result<Vec<f32>>>,
}

impl SourceTensor {
    /// A tensor whose values `read` gives, as many as the shape says.
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
    /// What the file or the system says.
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
/// The name of the format, and the way to a usable file.
pub(crate) fn refuse_foreign(path: &Path, head: &[u8]) -> Result<()> {
    match Format::of(head) {
        None | Some(Format::Caffe | Format::CaffeMean) => Ok(()),
        Some(format) => {
            Err(Error::weights(path, format!("is {}; {}", format.name(), format.fix(path, Wanted::Weights))))
        }
    }
}
