//! Reading of named tensors in the safetensors format; [`super::tensors_out`] writes them.
//!
//! A file has eight bytes of header length, a JSON header (name -> dtype, shape, byte range; free text under
//! `__metadata__`), then the tensors' bytes. Files are memory-mapped, so that only requested tensors are read. A faulty
//! file gives an error that names the file and the tensor.

use super::header::Header;
use crate::console::{Bytes, counted};
use crate::error::excerpt;
use crate::files::{self, Format, Wanted, reserve};
use crate::{Error, Result};
use memmap2::Mmap;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

#[cfg(target_endian = "big")]
compile_error!("safetensors files are little-endian, and so must the machine be");

/// Longest header of the format, in bytes: that of a million features with their paths.
pub(super) const MAX_HEADER: usize = 100_000_000;
/// Most characters of a parser's message that an error quotes, because the message may quote the file.
const QUOTED: usize = 200;
/// Longest header of a weight file or checkpoint, in bytes: 4,000 tensors and a million classes take 9 MB.
const MAX_HEADER_OF_WEIGHTS: usize = 16 << 20;
/// Bytes before the header that hold the header's length; tensors start at a multiple of this number.
pub(super) const LENGTH: usize = 8;

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
