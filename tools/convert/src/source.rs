//! A weight file of somebody else's: named tensors, whatever the container.

use crate::{Error, Result, caffe, safetensors, torch};
use bcreid::config::{Input, Wiring};
use bcreid::files;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

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
/// A file that cannot be opened, is empty, or is a web page.
pub fn container(path: &Path) -> Result<Container> {
    let mut file = files::open(path)?;
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(Error::io(path))?;
    if head.is_empty() {
        return Err(Error::weights(path, "is empty; download or copy it again"));
    }
    if looks_like_a_web_page(&head) {
        return Err(Error::weights(
            path,
            "is a web page, not weights: the address led to a page about the file; download the file itself",
        ));
    }
    Ok(if safetensors::recognise(&head) {
        Container::Safetensors
    } else if torch::recognise(&head) {
        Container::Torch
    } else {
        Container::Caffe
    })
}

/// Opens a file by what it holds, not by its name.
///
/// # Errors
/// A file of no known container, or a broken one; the error names the file and the mend.
pub fn open(path: &Path) -> Result<Source> {
    open_with(path, None)
}

/// Opens a file as [`open`] does, a Caffe model with the prototxt of its network if there is one.
///
/// # Errors
/// As [`open`]; a prototxt beside a file that is no Caffe model, or one that contradicts it.
pub fn open_with(path: &Path, prototxt: Option<&Path>) -> Result<Source> {
    match (container(path)?, prototxt) {
        (Container::Caffe, prototxt) => caffe::Model::open(path, prototxt)?.source(),
        (_, Some(_)) => Err(Error::weights(
            path,
            "is no Caffe model; a prototxt describes only those, so leave --prototxt out",
        )),
        (Container::Safetensors, None) => safetensors::open(path),
        (Container::Torch, None) => torch::open(path),
    }
}

/// Whether the first bytes are those of an HTML or XML text.
fn looks_like_a_web_page(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    text.starts_with(b"<!") || text.starts_with(b"<?xml") || text.to_ascii_lowercase().starts_with(b"<html")
}
