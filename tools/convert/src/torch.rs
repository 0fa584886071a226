//! PyTorch's checkpoints: zip archives (since 1.6), pickles in a row (0.1.10 to 1.5), tar archives (before).
//!
//! A checkpoint is a Python program, a pickle, and other loaders run it. Here it is walked first by the
//! `gate`, which refuses by name whatever is not a tensor or plain data, and finds the files that were cut
//! short; then `pytorch-reader`, which executes nothing either, reads zip and legacy files, and `tar` the
//! oldest ones. `nesting` finds the state dict in it.

mod gate;
mod harmless;
mod nesting;
mod pickle;
mod tar;

use crate::source::{Source, SourceTensor};
use crate::{Error, Result};
use bcreid::config::{Input, Wiring};
use gate::AGAIN;
use nesting::Node;
use pytorch_reader::{DType, PickleError, PickleValue, PytorchError, PytorchReader};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::rc::Rc;

/// What a checkpoint's bytes are packed in.
#[derive(Clone, Copy)]
enum Container {
    Zip,
    Legacy,
    Tar,
    /// A pickle alone, in which there can be no tensors.
    Pickle,
}

/// A tensor whose values are still in the file.
#[derive(Clone)]
struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    /// Reads the elements in row-major order, little-endian.
    read: Rc<dyn Fn() -> io::Result<Vec<u8>>>,
}

/// Whether a file's first bytes are those of a PyTorch checkpoint, or of an archive or pickle of another kind,
/// about which [`open`] has more to say than anybody else.
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
        Some(Container::Zip) => {
            gate::zip(path)?;
            ("PyTorch zip archive", read(path)?)
        }
        Some(Container::Legacy) => {
            gate::legacy(path)?;
            ("PyTorch legacy file (0.1.10 to 1.5)", read(path)?)
        }
        Some(Container::Tar) => ("PyTorch tar archive (before 0.1.10)", tar::open(path)?),
        Some(Container::Pickle) => return Err(gate::plain(path)),
        None => {
            return Err(Error::weights(path, "is not a PyTorch checkpoint; torch.save(model.state_dict())"));
        }
    };
    let (tensors, mut notes) = nesting::choose(path, root)?;
    let tensors = nesting::strip(tensors, &mut notes);
    check_bulk(path, &tensors, length)?;
    let tensors = tensors.into_iter().map(|(name, tensor)| (name, lazy(path, tensor))).collect();
    Ok(Source {
        format: format.into(),
        wiring: Wiring::Torchvision,
        last_stride: 2,
        input: Input::default(),
        tensors,
        notes,
    })
}

/// A tensor may repeat its storage's elements (stride 0), as often as it likes: only a bound on what all of
/// them come to keeps a small file from taking much memory.
fn check_bulk(path: &Path, tensors: &BTreeMap<String, Tensor>, length: u64) -> Result<()> {
    let most = length.saturating_mul(4).saturating_add(4096);
    let mut all = 0u64;
    for (name, tensor) in tensors {
        let elements = tensor.shape.iter().fold(1u64, |n, size| n.saturating_mul(*size as u64));
        all = all.saturating_add(elements.saturating_mul(tensor.dtype.size() as u64));
        if all > most {
            let (name, shape) = (one_line(name), one_line(&format!("{:?}", tensor.shape)));
            let detail = format!(
                "its tensor {name:?} of {shape} brings its tensors to {all} bytes, in a file of {length}: they repeat \
                 elements; save clones of them"
            );
            return Err(Error::weights(path, detail));
        }
    }
    Ok(())
}

fn lazy(path: &Path, tensor: Tensor) -> SourceTensor {
    let Tensor { dtype, shape, read } = tensor;
    let path = path.to_path_buf();
    SourceTensor::new(shape, dtype_name(dtype), move || {
        let bytes = read().map_err(|e| match e.raw_os_error() {
            Some(_) => Error::io(&path)(e),
            None => {
                Error::weights(&path, format!("a storage does not fit its tensor: {}; {AGAIN}", one_line(&e)))
            }
        })?;
        Ok(decode(dtype, &bytes))
    })
}

/// Reads a zip or legacy file that has passed the gate.
fn read(path: &Path) -> Result<Node<Tensor>> {
    let structure = PytorchReader::read_pickle_data(path, None).map_err(|e| in_words(path, e))?;
    if !matches!(structure, PickleValue::Dict(_)) {
        return Err(Error::weights(path, nesting::NO_DICTIONARY));
    }
    let reader = PytorchReader::new(path).map_err(|e| in_words(path, e))?;
    node(path, structure, &mut String::new(), &mut reader.into_tensors())
}

/// A checkpoint's value with the tensors that the library found by their paths through it.
fn node(
    path: &Path,
    value: PickleValue,
    at: &mut String,
    tensors: &mut HashMap<String, pytorch_reader::Tensor>,
) -> Result<Node<Tensor>> {
    let mut inside = |key: &str, value| {
        let length = at.len();
        at.extend(if length == 0 { ["", key] } else { [".", key] });
        let inner = node(path, value, at, tensors);
        at.truncate(length);
        inner
    };
    match value {
        PickleValue::Dict(items) => {
            let items: BTreeMap<String, PickleValue> = items.into_iter().collect();
            let items = items.into_iter().map(|(key, value)| Ok((key.clone(), inside(&key, value)?)));
            items.collect::<Result<_>>().map(Node::Dict)
        }
        PickleValue::List(items) => {
            items
                .into_iter()
                .enumerate()
                .try_for_each(|(i, value)| inside(&i.to_string(), value).map(drop))?;
            Ok(Node::Other)
        }
        PickleValue::Unsupported(class) if class == "torch.Tensor" => match tensors.remove(at) {
            Some(tensor) => {
                let (_, dtype, shape, read) = tensor.into_parts();
                Ok(Node::Tensor(Tensor { dtype, shape, read: Rc::new(read) }))
            }
            // The library keeps one tensor a path.
            None => Err(Error::weights(
                path,
                format!("two of its tensors are called {:?}; save model.state_dict() alone", one_line(at)),
            )),
        },
        _ => Ok(Node::Other),
    }
}

/// The library's errors, for people.
fn in_words(path: &Path, error: PytorchError) -> Error {
    let detail = match error {
        PytorchError::Io(e) | PytorchError::Tar(e) | PytorchError::Pickle(PickleError::Io(e)) => {
            match (e.raw_os_error(), e.kind()) {
                (Some(_), _) => return Error::io(path)(e),
                (None, io::ErrorKind::UnexpectedEof) => "is cut short".to_string(),
                (None, _) => format!("does not fit together: {}", one_line(&e)),
            }
        }
        PytorchError::Pickle(PickleError::UnsupportedType(class)) => {
            let class = one_line(&class);
            let detail =
                format!("holds tensors of {class}, which are not read; save them as plain dense tensors");
            return Error::weights(path, detail);
        }
        PytorchError::Pickle(PickleError::InvalidData(why)) => {
            format!("its pickle does not fit together: {}", one_line(&why))
        }
        PytorchError::Zip(e) => format!("its zip archive is broken: {}", one_line(&e)),
        PytorchError::InvalidFormat(why) => format!("is not a whole PyTorch checkpoint: {}", one_line(&why)),
        other => format!("its pickle is broken: {}", one_line(&other)),
    };
    Error::weights(path, format!("{detail}; {AGAIN}"))
}

/// Words that may quote the file, as one short line.
fn one_line(words: &(impl ToString + ?Sized)) -> String {
    let line: String =
        words.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(161).collect();
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// The elements of a storage or tensor class, e.g. `torch.FloatStorage`; none for an untyped one.
fn element_of(class: &str) -> Option<DType> {
    let name = class.rsplit('.').next()?;
    Some(match name.strip_suffix("Storage")? {
        "Double" => DType::F64,
        "Float" => DType::F32,
        "Half" => DType::F16,
        "BFloat16" => DType::BF16,
        "Long" => DType::I64,
        "Int" => DType::I32,
        "Short" => DType::I16,
        "Char" => DType::I8,
        "Byte" => DType::U8,
        "Bool" => DType::Bool,
        _ => return None,
    })
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I64 => "i64",
        DType::I32 => "i32",
        DType::I16 => "i16",
        DType::I8 => "i8",
        DType::U64 => "u64",
        DType::U32 => "u32",
        DType::U16 => "u16",
        DType::U8 => "u8",
        DType::Bool => "bool",
    }
}

fn decode(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|element| number(*element)).collect()
    }
    match dtype {
        DType::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        DType::F32 => each(bytes, f32::from_le_bytes),
        DType::F16 => each(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
        DType::BF16 => each(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        DType::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
        DType::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
        DType::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
        DType::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
        DType::U64 => each(bytes, |b| u64::from_le_bytes(b) as f32),
        DType::U32 => each(bytes, |b| u32::from_le_bytes(b) as f32),
        DType::U16 => each(bytes, |b| u16::from_le_bytes(b).into()),
        DType::U8 => each(bytes, |b| u8::from_le_bytes(b).into()),
        DType::Bool => each(bytes, |[b]| f32::from(b != 0)),
    }
}
