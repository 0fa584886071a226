//! Weight files of other programs, opened by their content.

pub use crate::content::{Asked, Source, SourceTensor, UNREAD};

use crate::content::refuse_foreign;
use crate::{Error, Result, caffe, safetensors, toolboxes, torch};
use bcreid::files::{self, HEAD};
use std::io::Read;
use std::path::Path;

/// Containers of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A safetensors file.
    Safetensors,
    /// A PyTorch checkpoint of any format.
    Torch,
    /// A `.caffemodel` of Caffe, or an unknown format.
    Caffe,
}

/// Detects a file's container by its content, not by its name.
///
/// # Errors
/// A file that cannot be opened, is empty, or is of a known format that holds no weights.
pub fn container(path: &Path) -> Result<Container> {
    let head = head(path)?;
    if head.is_empty() {
        return Err(Error::weights(path, "is empty; download or copy it again"));
    }
    if safetensors::recognise(&head) {
        safetensors::check_header(path, &head)?;
        return Ok(Container::Safetensors);
    }
    if torch::recognise(&head) {
        return Ok(Container::Torch);
    }
    refuse_foreign(path, &head).map(|()| Container::Caffe)
}

/// Refuses a safetensors file whose header is longer than that of any network, before the header is read.
///
/// # Errors
/// A file that cannot be opened; the length of such a header.
pub fn check_header(path: &Path) -> Result<()> {
    safetensors::check_header(path, &head(path)?)
}

/// The first bytes of a file.
fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    files::open(path)?.take(HEAD as u64).read_to_end(&mut head).map_err(Error::io(path))?;
    Ok(head)
}

/// Opens a file; its format is detected by its content, not by its name.
///
/// # Errors
/// A file of no known container, or a broken one; the error names the file and the fix.
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
    toolboxes::fast_reid::apply(&mut source, path)?;
    if !asked.without_head {
        toolboxes::head::apply(&mut source);
    }
    // Neither format states the strides of a network.
    if let Some(wiring) = asked.wiring {
        source.wiring = wiring;
        source.notes.push("the wiring is that of --wiring; the file does not state it".into());
    }
    if let Some(last_stride) = asked.last_stride {
        if source.states_stride && source.last_stride != last_stride {
            return Err(Error::weights(
                path,
                format!(
                    "--last-stride {last_stride} contradicts the {} that its settings state; leave the option out",
                    source.last_stride
                ),
            ));
        }
        if !source.states_stride {
            source.notes.push(
                "the stride of the last stage is that of --last-stride; the file does not state it".into(),
            );
        }
        source.last_stride = last_stride;
        source.states_stride = true;
    }
    Ok(source)
}
