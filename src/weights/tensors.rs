//! Named tensors on disk: the safetensors format.
//!
//! Eight bytes of header length, a JSON header (name -> dtype, shape, byte range; free text under
//! `__metadata__`), then the bytes. A file is mapped, not read: nothing is touched that nobody asks for.
//! Whatever a file holds, reading it ends in tensors or in an error that names the file and the tensor.
//!
//! The header is written here rather than by the `safetensors` crate, which keeps the metadata in a hash
//! map: its order, and with it the bytes of a checkpoint, would differ from run to run.

use crate::files::{self, Format, Wanted, write_atomically};
use crate::tensor::Tensor;
use crate::{Error, Result};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and so must the machine be");

/// The longest header the format allows, in bytes.
const MAX_HEADER: usize = 100_000_000;
/// The bytes in front of the header that hold its length; tensors start at a multiple of it.
const LENGTH: usize = 8;
/// The header's key for free text.
const METADATA: &str = "__metadata__";

/// A mapped safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    tensors: BTreeMap<String, TensorInfo>,
    data_start: usize,
    metadata: BTreeMap<String, String>,
}

/// One tensor of a [`TensorFile`].
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    path: &'a Path,
    name: &'a str,
    shape: &'a [usize],
    dtype: Dtype,
    bytes: &'a [u8],
}

/// Maps a safetensors file and checks its header.
///
/// A known limit: if another program cuts the file short in place while it is mapped, the system ends this
/// process (SIGBUS on Unix). Replacing or deleting the file does no harm.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::Weights`] if it is not a whole safetensors file.
pub fn read_tensors(path: &Path) -> Result<TensorFile> {
    read_tensors_as(path, Wanted::Weights)
}

/// As [`read_tensors`]; the error about a file of another format says what makes of it what is `wanted`.
pub(super) fn read_tensors_as(path: &Path, wanted: Wanted) -> Result<TensorFile> {
    let file = files::open(path)?;
    // SAFETY: the mapping is read-only, nothing but this value hands out slices of it, and this crate never
    // writes a file in place: it puts a new one in its stead, which leaves the mapped one whole. What cannot
    // be ruled out from here is another program that changes the file in place meanwhile. If it cuts the
    // file short, the system ends this process with SIGBUS at the next touch; if it overwrites bytes, values
    // change under a shared slice. No reader that maps files can prevent either, and file locks are only
    // advice. It is accepted because the alternative, reading a file of gigabytes to look at its header or
    // at a few tensors, costs every run for the sake of one that somebody is breaking anyway.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
    // A whole safetensors file is never told by its first bytes: those are a length, and may be any.
    let broken = |what: String| match Format::of(&map) {
        Some(format) => {
            Error::weights(path, format!("seems to be {}; {}", format.name(), format.fix(path, wanted)))
        }
        None => Error::weights(path, format!("not a whole safetensors file: {what}")),
    };

    let length =
        map.first_chunk::<LENGTH>().ok_or_else(|| broken(format!("only {} bytes long", map.len())))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let data_start = length.saturating_add(LENGTH);
    if length > MAX_HEADER || data_start > map.len() {
        return Err(broken(format!(
            "it announces a header of {length} bytes and is {} bytes long",
            map.len()
        )));
    }
    // The crate checks each shape against its byte range, and that the ranges leave no gap and no overlap.
    let header: Metadata = serde_json::from_slice(&map[LENGTH..data_start])
        .map_err(|e| broken(format!("its header cannot be read ({})", one_line(&e))))?;
    let (announced, found) = (header.data_len(), map.len() - data_start);
    if announced != found {
        return Err(broken(format!(
            "its tensors take {announced} bytes and it holds {found}; a download or copy that was cut short?"
        )));
    }
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let tensors = header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    Ok(TensorFile { path: path.into(), map, tensors, data_start, metadata })
}

/// A parser's message may quote the file; keep it to one short line.
fn one_line(message: &impl ToString) -> String {
    let message: String = message.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if message.chars().count() <= 200 {
        message
    } else {
        message.chars().take(200).chain("...".chars()).collect()
    }
}

impl TensorFile {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The free text of the header.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, info) = self.tensors.get_key_value(name)?;
        let (start, end) = info.data_offsets;
        let bytes = &self.map[self.data_start..][start..end];
        Some(TensorView { path: &self.path, name, shape: &info.shape, dtype: info.dtype, bytes })
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists what is there instead.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.get(name).ok_or_else(|| {
            let some: Vec<&str> = self.names().take(8).collect();
            let more = self.names().len() - some.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            self.fault(format!("has no tensor {name:?}; it holds {some:?}{more}"))
        })
    }

    /// An error about this file.
    pub fn fault(&self, detail: impl Into<String>) -> Error {
        Error::weights(&self.path, detail)
    }
}

impl<'a> TensorView<'a> {
    /// Its sizes, slowest first; none for a scalar.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Its element type, as the file calls it.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its elements as they lie in the file: row-major, little-endian, perhaps unaligned.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements: borrowed from the file, or copied where they lie unaligned in it.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is not F32.
    pub fn f32(&self) -> Result<Cow<'a, [f32]>> {
        self.elements(Dtype::F32)
    }

    /// The elements: borrowed from the file, or copied where they lie unaligned in it.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is not I64.
    pub fn i64(&self) -> Result<Cow<'a, [i64]>> {
        self.elements(Dtype::I64)
    }

    fn elements<T: bytemuck::AnyBitPattern>(&self, wanted: Dtype) -> Result<Cow<'a, [T]>> {
        if self.dtype != wanted {
            let (name, dtype) = (self.name, self.dtype);
            return Err(Error::weights(self.path, format!("{name} is {dtype:?}; {wanted:?} is needed")));
        }
        Ok(match bytemuck::try_cast_slice(self.bytes) {
            Ok(elements) => Cow::Borrowed(elements),
            Err(_) => {
                let whole = self.bytes.chunks_exact(size_of::<T>());
                Cow::Owned(whole.map(bytemuck::pod_read_unaligned).collect())
            }
        })
    }
}

/// The elements of a tensor to be written.
#[derive(Clone, Debug)]
pub enum Values<'a> {
    /// Single precision.
    F32(Cow<'a, [f32]>),
    /// 64-bit integers.
    I64(Cow<'a, [i64]>),
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct TensorOut<'a> {
    /// Its key in the file.
    pub name: String,
    /// Its sizes, slowest first.
    pub shape: Vec<usize>,
    /// Its elements, as many as the shape says.
    pub values: Values<'a>,
}

impl<'a> TensorOut<'a> {
    /// A tensor of f32.
    pub fn f32(name: impl Into<String>, shape: &[usize], values: impl Into<Cow<'a, [f32]>>) -> Self {
        TensorOut { name: name.into(), shape: shape.to_vec(), values: Values::F32(values.into()) }
    }

    /// A tensor of f32 as it lies in the CPU's memory, or copied from a GPU's.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn of(name: impl Into<String>, tensor: &'a Tensor) -> Result<Self> {
        let values = match tensor.gpu() {
            None => Cow::Borrowed(tensor.f32()),
            Some(_) => Cow::Owned(tensor.to_host_f32()?),
        };
        Ok(TensorOut::f32(name, tensor.shape().dims(), values))
    }

    /// A tensor of i64.
    pub fn i64(name: impl Into<String>, shape: &[usize], values: impl Into<Cow<'a, [i64]>>) -> Self {
        TensorOut { name: name.into(), shape: shape.to_vec(), values: Values::I64(values.into()) }
    }

    fn bytes(&self) -> &[u8] {
        match &self.values {
            Values::F32(values) => bytemuck::cast_slice(values),
            Values::I64(values) => bytemuck::cast_slice(values),
        }
    }

    fn dtype(&self) -> (&'static str, usize) {
        match self.values {
            Values::F32(_) => ("F32", 4),
            Values::I64(_) => ("I64", 8),
        }
    }
}

/// Writes a safetensors file, whole or not at all. The same tensors and metadata give the same bytes.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Weights`] if the metadata is longer than the
/// format's header may be (100 MB).
///
/// # Panics
/// If a tensor does not have as many elements as its shape says, or a name occurs twice.
pub fn write_tensors(
    path: &Path,
    tensors: &[TensorOut<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    // Wide elements first, so that every tensor is aligned in the file.
    let mut tensors: Vec<&TensorOut<'_>> = tensors.iter().collect();
    tensors.sort_by_key(|t| std::cmp::Reverse(t.dtype().1));
    for tensor in &tensors {
        let elements: usize = tensor.shape.iter().product();
        let bytes = tensor.bytes().len();
        assert_eq!(elements * tensor.dtype().1, bytes, "{}: elements of {:?}", tensor.name, tensor.shape);
    }
    let entries = tensors.iter().map(|t| (t.name.as_str(), t.dtype(), &t.shape[..]));
    let header = header(path, entries, metadata)?;
    write_atomically(path, |writer| {
        writer.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| writer.write_all(tensor.bytes()))
    })
}

/// Writes a safetensors file whose last tensor, f32 of this name and shape, is not in memory: `rows` hands it over
/// piece by piece. The `tensors` before it have wider elements.
///
/// # Errors
/// Those of [`write_tensors`], and what `rows` returns.
///
/// # Panics
/// As [`write_tensors`], and if `rows` hands over another number of values.
pub fn write_tensors_and_rows(
    path: &Path,
    tensors: &[TensorOut<'_>],
    (name, shape): (&str, &[usize]),
    metadata: &BTreeMap<String, String>,
    rows: impl FnOnce(&mut dyn FnMut(&[f32]) -> std::io::Result<()>) -> Result<()>,
) -> Result<()> {
    let entries = tensors.iter().map(|t| (t.name.as_str(), t.dtype(), &t.shape[..]));
    let header = header(path, entries.chain([(name, ("F32", 4), shape)]), metadata)?;
    // An error of `rows` is the caller's; the writer only has to know that there was one.
    let mut failed = None;
    let written = write_atomically(path, |writer| {
        writer.write_all(&header)?;
        tensors.iter().try_for_each(|tensor| writer.write_all(tensor.bytes()))?;
        let mut values = 0;
        let result = rows(&mut |piece| {
            values += piece.len();
            writer.write_all(bytemuck::cast_slice(piece))
        });
        if let Err(error) = result {
            failed = Some(error);
            return Err(std::io::ErrorKind::Other.into());
        }
        assert_eq!(values, shape.iter().product::<usize>(), "{name}: values of {shape:?}");
        Ok(())
    });
    failed.map_or(written, Err)
}

/// The length and the JSON of a file's header; tensors lie in the order of `entries`: name, dtype and its bytes, shape.
fn header<'a>(
    path: &Path,
    entries: impl Iterator<Item = (&'a str, (&'static str, usize), &'a [usize])>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert(METADATA.into(), json!(metadata));
    }
    let mut end = 0;
    for (name, (dtype, width), shape) in entries {
        let start = end;
        end += width * shape.iter().product::<usize>();
        let entry = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        assert!(header.insert(name.to_string(), entry).is_none(), "{name} occurs twice");
    }
    let mut json = Value::Object(header).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(LENGTH), b' ');
    if json.len() > MAX_HEADER {
        return Err(Error::weights(path, "the paths or other metadata take more than the format's 100 MB"));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}
