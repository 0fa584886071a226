//! The content of a weight file: named tensors, wiring and input convention of the network.

use crate::toolboxes::head::Head;
use crate::{Error, Result};
use bcreid::config::{Input, Wiring};
use bcreid::files::{Format, Wanted};
use bcreid::weights::provenance::Conversion;
use std::collections::BTreeMap;
use std::path::Path;

/// Options about a network's wiring, for files that do not state it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked {
    /// Wiring: the places of strides and pooling (`--wiring`).
    pub wiring: Option<Wiring>,
    /// Stride of the last stage, 1 or 2 (`--last-stride`).
    pub last_stride: Option<usize>,
    /// True to leave pooling and embedding under their names in the file.
    pub without_head: bool,
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
    /// True if the file or an option states the stride of the last stage.
    pub states_stride: bool,
    /// The pooling before the head that the file's settings state, if it is no average.
    pub pooling: Option<String>,
    /// Pooling and embedding that the tensors show.
    pub head: Head,
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
    /// Source and licence that the file states.
    pub stated: Conversion,
    /// Notes for the user about reading the file.
    pub notes: Vec<String>,
}

/// Placeholder for an element type that cannot be read.
pub const UNREAD: &str = "?";

/// Largest accepted number of tensors in a file; a checkpoint of ResNet-152 has about a thousand, with the state of its
/// optimiser three times as many.
pub const MAX_TENSORS: usize = 20_000;

/// Number of values that are decoded at once: a tensor may be large, and its sum needs no memory.
pub const PIECE: usize = 1 << 18;

/// Receiver of a tensor's values, piece by piece.
pub type Sink<'a> = dyn FnMut(&[f32]) + 'a;

/// A tensor whose values are not read yet.
pub struct SourceTensor {
    /// Shape, slowest dimension first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Element type in the file, e.g. `f16`, or [`UNREAD`].
    pub dtype: &'static str,
    reader: Reader,
}

/// Passes a tensor's values on, piece by piece.
type ReadPieces = dyn Fn(&mut Sink<'_>) -> Result<()>;

/// Reader of a tensor's values, in row-major order, as f32 (rounded from f64; integers converted).
enum Reader {
    /// Returns all.
    Whole(Box<dyn Fn() -> Result<Vec<f32>>>),
    /// Passes them on piece by piece.
    Pieces(Box<ReadPieces>),
}

impl SourceTensor {
    /// Creates a tensor whose values `read` returns, as many as the shape requires.
    pub fn new(
        shape: Vec<usize>,
        dtype: &'static str,
        read: impl Fn() -> Result<Vec<f32>> + 'static,
    ) -> Self {
        SourceTensor { shape, dtype, reader: Reader::Whole(Box::new(read)) }
    }

    /// Creates a tensor whose values `read` passes on in pieces, together as many as the shape requires. After an error
    /// the pieces passed on before are void.
    pub fn in_pieces(
        shape: Vec<usize>,
        dtype: &'static str,
        read: impl Fn(&mut Sink<'_>) -> Result<()> + 'static,
    ) -> Self {
        SourceTensor { shape, dtype, reader: Reader::Pieces(Box::new(read)) }
    }

    /// The values in row-major order.
    ///
    /// # Errors
    /// An error of the file or of the file system.
    pub fn values(&self) -> Result<Vec<f32>> {
        match &self.reader {
            Reader::Whole(read) => read(),
            Reader::Pieces(read) => {
                let mut values = Vec::with_capacity(self.shape.iter().product());
                read(&mut |piece| values.extend_from_slice(piece)).map(|()| values)
            }
        }
    }

    /// The sum of the values, in double precision.
    ///
    /// # Errors
    /// As [`SourceTensor::values`].
    pub fn sum(&self) -> Result<f64> {
        let sum_of = |values: &[f32]| values.iter().map(|value| f64::from(*value)).sum::<f64>();
        match &self.reader {
            Reader::Whole(read) => Ok(sum_of(&read()?)),
            Reader::Pieces(read) => {
                let mut sum = 0.0;
                read(&mut |piece| sum += sum_of(piece)).map(|()| sum)
            }
        }
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
