//! BlobProto, Caffe's tensor. Dimensions and counts are checked at parsing; values are read later.

use super::settings::decode;
use super::wire::{Fault, Fields, Value};
use prost::bytes::Bytes;

/// Largest number of axes of a blob in Caffe.
const MAX_AXES: usize = 32;

/// BlobShape: dimensions of a blob. Files from before 2015 have the four fields `num`, `channels`, `height`, `width`.
#[derive(Clone, PartialEq, prost::Message)]
struct BlobShape {
    #[prost(int64, repeated, tag = "1")]
    dim: Vec<i64>,
}

/// A blob that has as many values as its dimensions require, at least one.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Dimensions, slowest first; old files have four, padded with leading ones.
    pub shape: Vec<usize>,
    /// Element type, `f32` or `f64`.
    pub dtype: &'static str,
    /// Protobuf message, a slice of the mapped file.
    bytes: Bytes,
}

impl Blob {
    /// Checks a message without touching its values.
    pub fn parse(bytes: Bytes) -> Result<Blob, Fault> {
        let (mut legacy, mut shape) = ([None; 4], BlobShape::default());
        let (mut floats, mut doubles) = (0, 0);
        for field in Fields::new(bytes.clone()) {
            match field? {
                (number @ 1..=4, Value::Varint(dim)) => legacy[number as usize - 1] = Some(dim as i64),
                (5, Value::Fixed32(_)) => floats += 1,
                (5, Value::Bytes(packed)) => floats += elements(&packed, size_of::<f32>())?,
                (7, Value::Bytes(message)) => shape = decode("shape", message)?,
                (8, Value::Fixed64(_)) => doubles += 1,
                (8, Value::Bytes(packed)) => doubles += elements(&packed, size_of::<f64>())?,
                _ => {}
            }
        }
        let dims = match legacy {
            [None, None, None, None] => shape.dim,
            dims => dims.map(Option::unwrap_or_default).to_vec(),
        };
        if dims.len() > MAX_AXES {
            return Err(format!("it has {} axes; Caffe allows {MAX_AXES}", dims.len()));
        }
        let (shape, count) = sizes(&dims).ok_or_else(|| format!("no tensor has the dims {dims:?}"))?;
        let (dtype, found) = match (floats, doubles) {
            (0, 0) => return Err(format!("it holds no values; its dims {dims:?} need {count}")),
            (floats, 0) => ("f32", floats),
            (0, doubles) => ("f64", doubles),
            _ => return Err(format!("it holds {floats} floats and {doubles} doubles; one kind is allowed")),
        };
        if found != count {
            return Err(format!("its dims {dims:?} need {count} values and it holds {found}"));
        }
        Ok(Blob { shape, dtype, bytes })
    }

    /// Number of values.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads the values in row-major order; doubles are rounded.
    pub fn values(&self) -> Result<Vec<f32>, Fault> {
        let mut values = Vec::with_capacity(self.count());
        for field in Fields::new(self.bytes.clone()) {
            match field? {
                (5, Value::Fixed32(bits)) => values.push(f32::from_bits(bits)),
                (5, Value::Bytes(packed)) => {
                    values.extend(packed.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)));
                }
                (8, Value::Fixed64(bits)) => values.push(f64::from_bits(bits) as f32),
                (8, Value::Bytes(packed)) => {
                    values.extend(packed.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32));
                }
                _ => {}
            }
        }
        Ok(values)
    }

    /// Length of a vector; dimensions of 1 are ignored. `None` for other blobs.
    pub fn vector(&self) -> Option<usize> {
        (self.shape.iter().filter(|&&dim| dim != 1).count() <= 1).then(|| self.count())
    }

    /// Dimensions without leading ones, if `axes` of them remain.
    pub fn last_axes(&self, axes: usize) -> Option<&[usize]> {
        let (ones, rest) = self.shape.split_at(self.shape.len().checked_sub(axes)?);
        ones.iter().all(|&dim| dim == 1).then_some(rest)
    }
}

/// Number of values of `size` bytes in a packed field.
fn elements(packed: &Bytes, size: usize) -> Result<usize, Fault> {
    if packed.len().is_multiple_of(size) {
        Ok(packed.len() / size)
    } else {
        Err(format!("its values take {} bytes, which is no multiple of {size}", packed.len()))
    }
}

/// Dimensions as sizes, and their product; `None` if one is not positive or the product is too large.
fn sizes(dims: &[i64]) -> Option<(Vec<usize>, usize)> {
    let positive = |&dim: &i64| usize::try_from(dim).ok().filter(|&dim| dim > 0);
    let shape: Vec<usize> = dims.iter().map(positive).collect::<Option<_>>()?;
    let count = shape.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))?;
    Some((shape, count))
}
