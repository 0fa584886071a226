//! The storage of a list of a feature file: in memory, or mapped from the file.

use crate::Result;
use crate::console::counted;
use crate::files;
use crate::weights::TensorFile;
use bytemuck::AnyBitPattern;
use safetensors::Dtype;
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// Largest list that is copied because it is not aligned in the file, in bytes. Files that this program wrote are
/// aligned, and are mapped whatever their size.
const MAX_COPY: usize = 64 << 20;

/// The storage of the elements.
#[derive(Clone, Debug)]
pub(super) enum Values<T> {
    /// In memory.
    Owned(Vec<T>),
    /// In a mapped file, aligned: bytes of [`TensorFile::map`].
    Mapped(Arc<TensorFile>, Range<usize>),
}

/// A copy of a tensor, if it is not aligned; `None` if it can be mapped.
///
/// # Errors
/// [`crate::Error::Weights`] for another element type than `dtype`, which is that of `T`, and for a large unaligned
/// tensor; [`crate::Error::Data`] without memory for a copy.
pub(super) fn copy_of_unaligned<T: AnyBitPattern>(
    file: &TensorFile,
    name: &str,
    dtype: Dtype,
) -> Result<Option<Vec<T>>> {
    let tensor = file.tensor(name)?;
    let aligned = bytemuck::try_cast_slice::<u8, T>(tensor.bytes()).is_ok();
    if tensor.dtype() == dtype && !aligned && tensor.bytes().len() > MAX_COPY {
        return Err(file.fault(format!(
            "{name} does not begin at a multiple of {} and is too large to be copied; write the file again with a \
             current safetensors library",
            counted(size_of::<T>(), "byte")
        )));
    }
    Ok(match tensor.elements(dtype)? {
        Cow::Borrowed(_) => None,
        Cow::Owned(values) => Some(values),
    })
}

impl<T: AnyBitPattern> Values<T> {
    /// The tensor `name` of a file, or the copy of it.
    pub fn of(file: &Arc<TensorFile>, name: &str, copy: Option<Vec<T>>) -> Self {
        match copy {
            Some(values) => Values::Owned(values),
            None => Values::Mapped(file.clone(), file.range(name).expect("reading checked for this tensor")),
        }
    }

    /// All elements.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Values::Owned(values) => values,
            Values::Mapped(file, range) => bytemuck::cast_slice(&file.map()[range.clone()]),
        }
    }

    /// The elements in memory; `what` is named if there is not enough.
    ///
    /// # Errors
    /// [`crate::Error::Data`] without memory for a copy.
    pub fn into_memory(self, what: impl Display) -> Result<Vec<T>> {
        match self {
            Values::Owned(values) => Ok(values),
            mapped => files::copy(mapped.as_slice(), what),
        }
    }
}

impl<T: AnyBitPattern + PartialEq> PartialEq for Values<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}
