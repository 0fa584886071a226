//! Reading and writing of named tensors in the safetensors format.
//!
//! A file has eight bytes of header length, a JSON header (name -> dtype, shape, byte range; free text under
//! `__metadata__`), then the tensors' bytes. Files are memory-mapped, so that only requested tensors are read. A faulty
//! file gives an error that names the file and the tensor.
//!
//! This module writes the header itself, because the `safetensors` crate keeps the metadata in a hash map: the order,
//! and so the bytes of a checkpoint, would differ from run to run.

use super::header::{Header, METADATA};
use crate::console::{Bytes, counted};
use crate::error::excerpt;
use crate::files::{self, Format, Wanted, reserve, write_atomically};
use crate::tensor::Tensor;
use crate::{Error, Result};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and so must the machine be");

/// Longest header of the format, in bytes: that of a million features with their paths.
const MAX_HEADER: usize = 100_000_000;
/// Most characters of a parser's message that an error quotes, because the message may quote the file.
const QUOTED: usize = 200;
/// Longest header of a weight file or checkpoint, in bytes: 4,000 tensors and a million classes take 9 MB.
const MAX_HEADER_OF_WEIGHTS: usize = 16 << 20;
/// Bytes before the header that hold the header's length; tensors start at a multiple of this number.
const LENGTH: usize = 8;

/// A memory-mapped safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    tensors: BTreeMap<String, TensorInfo>,
    data_start: usize,
    metadata: BTreeMap<String, String>,
}

/// A tensor of a [`TensorFile`].
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
/// A known limit: if another program truncates the file in place while it is mapped, the system ends this process
/// (SIGBUS on Unix). Replacing or deleting the file is harmless.
///
/// # Errors
/// [`Error::Io`] if the file cannot be opened; [`Error::Weights`] if it is not a whole safetensors file.
pub fn read_tensors(path: &Path) -> Result<TensorFile> {
    read_tensors_as(path, Wanted::Weights)
}

/// [`read_tensors`] with an error about files of other formats that tells how to get the `wanted` kind of file.
pub(super) fn read_tensors_as(path: &Path, wanted: Wanted) -> Result<TensorFile> {
    let file = files::open(path)?;
    // SAFETY: the mapping is read-only, only this value hands out slices of it, and this crate never writes a file in
    // place: a rename replaces the file, which leaves the mapped one intact. Another program may still change the
    // file in place. If it truncates the file, the system ends this process with SIGBUS at the next access; if it
    // overwrites bytes, values change under a shared slice. No program that maps files can prevent either, and file
    // locks are advisory. The risk is accepted, because the alternative, reading files of gigabytes for a header or a
    // few tensors, would slow down every run.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
    // The format is only examined after an error: the first bytes of a valid file are a length, which may look like
    // the magic number of another format.
    let broken = |what: String| match Format::of(&map) {
        Some(format) => {
            Error::weights(path, format!("seems to be {}; {}", format.name(), format.fix(path, wanted)))
        }
        None if is_text(&map) => {
            let fix = match wanted {
                Wanted::Weights => "weights are in a .safetensors file, or in the folder of a run",
                Wanted::Features => "features are in a .safetensors file of bcreid extract, or in a .npy",
            };
            Error::weights(path, format!("is a text file; {fix}"))
        }
        None => {
            Error::weights(path, format!("not a whole safetensors file: {what}; copy or download it again"))
        }
    };

    let length = map
        .first_chunk::<LENGTH>()
        .ok_or_else(|| broken(format!("only {} long", counted(map.len(), "byte"))))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let data_start = length.saturating_add(LENGTH);
    if length > MAX_HEADER || data_start > map.len() {
        return Err(broken(format!(
            "its header should have {length} bytes, but the file has only {}",
            map.len()
        )));
    }
    let (kind, most) = match wanted {
        Wanted::Weights => ("weights", MAX_HEADER_OF_WEIGHTS),
        Wanted::Features => ("features", MAX_HEADER),
    };
    if length > most {
        return Err(Error::weights(
            path,
            format!(
                "its header has {}, and that of a file of {kind} at most {}; give a file that this program wrote",
                Bytes(length),
                Bytes(most)
            ),
        ));
    }
    (&file).seek(SeekFrom::Start(LENGTH as u64)).map_err(Error::io(path))?;
    let header = Header::read(&file, length)
        .map_err(|e| broken(format!("its header cannot be read ({})", excerpt(&e.to_string(), QUOTED))))?;
    let (announced, found) = (header.data, map.len() - data_start);
    if announced != found {
        let cut = if found < announced { ", so it is cut short" } else { "" };
        return Err(broken(format!("its tensors need {announced} bytes and it holds {found}{cut}")));
    }
    let Header { tensors, metadata, .. } = header;
    Ok(TensorFile { path: path.into(), map, tensors, data_start, metadata })
}

/// True if a file begins like a text: a safetensors file begins with a length, whose upper bytes are 0.
fn is_text(bytes: &[u8]) -> bool {
    /// Bytes that are looked at.
    const HEAD: usize = 512;
    let head = &bytes[..bytes.len().min(HEAD)];
    let is_cut = head.len() < bytes.len();
    let whole = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(e) => is_cut && e.error_len().is_none(),
    };
    let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t');
    whole && !head.is_empty() && !head.iter().any(is_control)
}

impl TensorFile {
    /// The file's path.
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

    /// The SHA-256 of the file, in hexadecimal.
    pub fn sha256(&self) -> String {
        files::hex(&Sha256::digest(&self.map))
    }

    /// Takes an entry of the free text, so that a long one is in memory no longer than needed.
    pub(super) fn take_metadata(&mut self, key: &str) -> Option<String> {
        self.metadata.remove(key)
    }

    /// The bytes of the file.
    pub(super) fn map(&self) -> &[u8] {
        &self.map
    }

    /// The place of a tensor in [`TensorFile::map`]; `None` if the file lacks it.
    pub(super) fn range(&self, name: &str) -> Option<Range<usize>> {
        let (start, end) = self.tensors.get(name)?.data_offsets;
        Some(self.data_start + start..self.data_start + end)
    }

    /// The tensor called `name`; `None` if the file lacks it.
    pub fn get(&self, name: &str) -> Option<TensorView<'_>> {
        let (name, info) = self.tensors.get_key_value(name)?;
        let bytes = &self.map[self.range(name)?];
        Some(TensorView { path: &self.path, name, shape: &info.shape, dtype: info.dtype, bytes })
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Error::Weights`] that lists the file's tensors, if the file lacks it.
    pub fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.get(name).ok_or_else(|| {
            let some: Vec<String> = self.names().take(8).map(|name| format!("{name:?}")).collect();
            let more = self.names().len() - some.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let found = if some.is_empty() { "no tensors".to_string() } else { some.join(", ") };
            self.fault(format!("has no tensor {name:?}; it holds {found}{more}"))
        })
    }

    /// An error about this file.
    pub fn fault(&self, detail: impl Into<String>) -> Error {
        Error::weights(&self.path, detail)
    }
}

impl<'a> TensorView<'a> {
    /// The tensor's sizes, slowest first; empty for a scalar.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The tensor's element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The tensor's bytes in the file: row-major, little-endian, possibly unaligned.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements as f32: borrowed from the file, or copied if unaligned.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is not F32; [`Error::Data`] without memory for a copy.
    pub fn f32(&self) -> Result<Cow<'a, [f32]>> {
        self.elements(Dtype::F32)
    }

    /// The elements as i64: borrowed from the file, or copied if unaligned.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is not I64; [`Error::Data`] without memory for a copy.
    pub fn i64(&self) -> Result<Cow<'a, [i64]>> {
        self.elements(Dtype::I64)
    }

    /// The elements, whose type `wanted` is that of `T`: borrowed from the file, or copied if unaligned.
    pub(super) fn elements<T: bytemuck::AnyBitPattern>(&self, wanted: Dtype) -> Result<Cow<'a, [T]>> {
        if self.dtype != wanted {
            let (name, dtype) = (self.name, self.dtype);
            return Err(Error::weights(self.path, format!("{name} is {dtype:?}; {wanted:?} is needed")));
        }
        if let Ok(elements) = bytemuck::try_cast_slice(self.bytes) {
            return Ok(Cow::Borrowed(elements));
        }
        let whole = self.bytes.chunks_exact(size_of::<T>());
        let mut elements = reserve(whole.len(), format_args!("{}: {}", self.path.display(), self.name))?;
        elements.extend(whole.map(bytemuck::pod_read_unaligned::<T>));
        Ok(Cow::Owned(elements))
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
    /// The tensor's name in the file.
    pub name: String,
    /// The tensor's sizes, slowest first.
    pub shape: Vec<usize>,
    /// The tensor's elements, as many as the product of the sizes.
    pub values: Values<'a>,
}

impl<'a> TensorOut<'a> {
    /// A tensor of f32 elements.
    pub fn f32(name: impl Into<String>, shape: &[usize], values: impl Into<Cow<'a, [f32]>>) -> Self {
        TensorOut { name: name.into(), shape: shape.to_vec(), values: Values::F32(values.into()) }
    }

    /// A tensor of f32 elements, borrowed from the CPU's memory or copied from a GPU's.
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

    /// A tensor of i64 elements.
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

/// Writes a safetensors file atomically. The same tensors and metadata give the same bytes.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written; [`Error::Weights`] if the metadata is longer than the
/// format's header may be (100 MB).
///
/// # Panics
/// If a tensor's number of elements does not fit its shape, or a name occurs twice.
pub fn write_tensors(
    path: &Path,
    tensors: &[TensorOut<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    // Tensors with wide elements come first, so that every tensor is aligned in the file.
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

/// Writes a safetensors file whose last tensor, f32 with the given name and shape, need not be in memory: `rows` passes
/// the values to its argument piece by piece. The `tensors` before it must have elements of at least four bytes.
///
/// # Errors
/// As [`write_tensors`], and errors of `rows`.
///
/// # Panics
/// As [`write_tensors`], and if `rows` passes another number of values.
pub fn write_tensors_and_rows(
    path: &Path,
    tensors: &[TensorOut<'_>],
    (name, shape): (&str, &[usize]),
    metadata: &BTreeMap<String, String>,
    rows: impl FnOnce(&mut dyn FnMut(&[f32]) -> std::io::Result<()>) -> Result<()>,
) -> Result<()> {
    let entries = tensors.iter().map(|t| (t.name.as_str(), t.dtype(), &t.shape[..]));
    let header = header(path, entries.chain([(name, ("F32", 4), shape)]), metadata)?;
    // The caller gets the error of `rows`; the writer only needs to fail.
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

/// The bytes of a file's header: length and JSON. Tensors are stored in the order of `entries`, which hold name, dtype
/// with its bytes, and shape.
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
        return Err(Error::weights(
            path,
            "the paths or other metadata exceed the format's 100 MB; use shorter paths or fewer images",
        ));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}
