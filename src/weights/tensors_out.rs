//! Writing of named tensors in the safetensors format ([`super::tensors`] has its form).
//!
//! This module writes the header itself, because the `safetensors` crate keeps the metadata in a hash map: the order,
//! and so the bytes of a checkpoint, would differ from run to run.

use super::header::METADATA;
use super::tensors::{LENGTH, MAX_HEADER};
use crate::files::write_atomically;
use crate::tensor::Tensor;
use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

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
