//! A weight file of somebody else's: named tensors, whatever the container.

use crate::{Error, Result, caffe, safetensors, torch};
use bcreid::config::{Input, Wiring};
use bcreid::files::{self, Format, HEAD, Wanted};
use std::collections::BTreeMap;
use std::io::Read;
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

/// The containers of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// safetensors.
    Safetensors,
    /// PyTorch's, of any age.
    Torch,
    /// Caffe's `.caffemodel`, or nothing that is known.
    Caffe,
}

/// Tells a file's container by what it holds, not by its name.
///
/// # Errors
/// A file that cannot be opened, is empty, or is of a known format that holds no weights.
pub fn container(path: &Path) -> Result<Container> {
    let mut file = files::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(Error::io(path))?;
    if head.is_empty() {
        return Err(Error::weights(path, "is empty; download or copy it again"));
    }
    if safetensors::recognise(&head) {
        return Ok(Container::Safetensors);
    }
    if torch::recognise(&head) {
        return Ok(Container::Torch);
    }
    refuse_foreign(path, &head).map(|()| Container::Caffe)
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

/// Opens a file by what it holds, not by its name.
///
/// # Errors
/// A file of no known container, or a broken one; the error names the file and the mend.
pub fn open(path: &Path) -> Result<Source> {
    open_with(path, None, Asked::default())
}

/// Opens a file as [`open`] does, a Caffe model with the prototxt of its network if there is one. The options `asked`
/// apply where the file states nothing.
///
/// # Errors
/// As [`open`]; a prototxt beside a file that is no Caffe model; a prototxt or an option that contradicts the file.
pub fn open_with(path: &Path, prototxt: Option<&Path>, asked: Asked) -> Result<Source> {
    let mut source = match (container(path)?, prototxt) {
        (Container::Caffe, prototxt) => return caffe::Model::open(path, prototxt)?.source(asked),
        (_, Some(_)) => {
            return Err(Error::weights(
                path,
                "is no Caffe model; a prototxt describes only those, so leave --prototxt out",
            ));
        }
        (Container::Safetensors, None) => safetensors::open(path)?,
        (Container::Torch, None) => torch::open(path)?,
    };
    // Neither of the two says where a network strides.
    source.wiring = asked.wiring.unwrap_or(source.wiring);
    source.last_stride = asked.last_stride.unwrap_or(source.last_stride);
    Ok(source)
}
