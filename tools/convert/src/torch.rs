//! PyTorch's checkpoints: zip archives (since 1.6), pickles in a row (0.1.10 to 1.5), tar archives (before).
//!
//! A checkpoint is a pickle, a program for Python's unpickler, which other loaders execute. Here a `machine`
//! interprets the pickle without executing code, and refuses all objects but tensors and plain data by their names
//! (`harmless`).
//!
//! # Reading order
//!
//! 1. `pickle`, `machine`, `harmless`: interpretation of a pickle.
//! 2. `storage`: storages in the file, and tensors as views of storages.
//! 3. `zip`, `legacy`, `tar`: places of pickles and storages in each container.
//! 4. `tree`: dictionaries and tensors; `nesting`: the search for the state dict.
//!
//! The crate `pytorch-reader` (0.22.1) was tried first. It executes nothing either, but refuses every trained
//! weight of the tar format, lets a pickle of 4 MB take any amount of memory (what it fetches from its memo is
//! copied), and reads a dictionary's attributes as its items, which Python does not.

mod fault;
mod harmless;
mod legacy;
mod machine;
mod pickle;
mod storage;
mod tar;
mod tree;
mod zip;

use crate::content::{Source, SourceTensor};
use crate::display::{one_line, quoted};
use crate::toolboxes::head::Head;
use crate::{Error, Result, nesting, toolboxes};
use bcreid::config::{Input, Wiring};
use bcreid::weights::provenance::Conversion;
use fault::{AGAIN, refusal};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use storage::Tensor;

/// Container of a checkpoint.
#[derive(Clone, Copy)]
enum Container {
    Zip,
    Legacy,
    Tar,
    /// A pickle alone, in which there can be no tensors.
    Pickle,
}

/// True if a file's first bytes are those of a PyTorch checkpoint, or of another archive or pickle, for which
/// [`open`] has the most precise error.
pub fn recognise(head: &[u8]) -> bool {
    container(head).is_some()
}

fn container(head: &[u8]) -> Option<Container> {
    /// The number that opens a legacy file, as a pickle's bytes and, in protocols 0 and 1, digits.
    const MAGIC: [&[u8]; 2] = [b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", b"119547037146038801333356"];
    let near = &head[..head.len().min(64)];
    let has = |magic: &[u8]| near.windows(magic.len()).any(|window| window == magic);
    if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Some(Container::Zip)
    } else if head.get(257..262) == Some(b"ustar") {
        Some(Container::Tar)
    } else if MAGIC.iter().any(|magic| has(magic)) {
        Some(Container::Legacy)
    } else if matches!(head, [0x80, 2..=5, ..]) {
        Some(Container::Pickle)
    } else {
        None
    }
}

/// Opens a PyTorch checkpoint.
///
/// # Errors
/// A file that is cut short or broken, whose pickle names anything but tensors and plain data, that has no
/// state dict or several, or tensors of more bytes than the file can mean.
pub fn open(path: &Path) -> Result<Source> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let length = file.metadata().map_err(Error::io(path))?.len();
    io::Read::read_to_end(&mut io::Read::take(file, 512), &mut head).map_err(Error::io(path))?;
    let (format, root) = match container(&head) {
        Some(Container::Zip) => ("PyTorch zip archive", zip::open(path)?),
        Some(Container::Legacy) => ("PyTorch legacy file (0.1.10 to 1.5)", legacy::open(path)?),
        Some(Container::Tar) => ("PyTorch tar archive (before 0.1.10)", tar::open(path)?),
        Some(Container::Pickle) => return Err(plain(path)),
        None => {
            return Err(Error::weights(path, "is not a PyTorch checkpoint; torch.save(model.state_dict())"));
        }
    };
    let (tensors, mut notes) = nesting::choose(path, root)?;
    let tensors = toolboxes::translate(nesting::strip(tensors, &mut notes), &mut notes);
    check_bulk(path, &tensors, length)?;
    let tensors = tensors.into_iter().map(|(name, tensor)| (name, lazy(path, tensor))).collect();
    Ok(Source {
        format: format.into(),
        wiring: Wiring::Torchvision,
        last_stride: 2,
        states_stride: false,
        pooling: None,
        head: Head::default(),
        input: Input::default(),
        tensors,
        states_input: false,
        is_whole: false,
        stated: Conversion::default(),
        notes,
    })
}

/// Checks the total size of all tensors, and of the parts of the file that they are read from: a tensor may repeat its
/// storage's elements any number of times (stride 0), and many tensors may each have a few elements all over one
/// storage, so a small file could need much memory or time.
fn check_bulk(path: &Path, tensors: &BTreeMap<String, Tensor>, length: u64) -> Result<()> {
    let most = length.saturating_mul(4).saturating_add(4096);
    let (mut all, mut read) = (0u64, 0u64);
    for (name, tensor) in tensors {
        all = all.saturating_add(tensor.count().saturating_mul(tensor.element().size() as u64));
        read = read.saturating_add(tensor.extent());
        let (bytes, what, why) = match (all > most, read > most) {
            (true, _) => (all, "its tensors to", "they repeat elements"),
            (_, true) => {
                (read, "what its tensors are spread over to", "they share storages with wide strides")
            }
            _ => continue,
        };
        let (name, shape) = (quoted(name), one_line(&format!("{:?}", tensor.shape())));
        let detail = format!(
            "its tensor {name} of {shape} brings {what} {bytes} bytes, in a file of {length}: {why}; save clones of \
             them"
        );
        return Err(Error::weights(path, detail));
    }
    Ok(())
}

fn lazy(path: &Path, tensor: Tensor) -> SourceTensor {
    let path = path.to_path_buf();
    let element = tensor.element();
    SourceTensor::in_pieces(tensor.shape(), element.name(), move |sink| {
        tensor.read(&mut |bytes| element.decode_into(bytes, sink)).map_err(|e| match e.raw_os_error() {
            Some(_) => Error::io(&path)(e),
            None => Error::weights(&path, format!("a tensor's bytes are damaged: {}; {AGAIN}", one_line(&e))),
        })
    })
}

/// Error for a pickle without a container.
fn plain(path: &Path) -> Error {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) => return Error::io(path)(e),
    };
    match machine::walk(&mut io::BufReader::new(file), &mut pickle::Budget::new()) {
        Err(fault) => refusal(path, "pickle", fault),
        Ok(_) => Error::weights(
            path,
            "is a bare pickle, in which PyTorch keeps no tensors; torch.save(model.state_dict())",
        ),
    }
}
