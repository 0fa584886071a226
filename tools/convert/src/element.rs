//! Element types of tensors in files, and their conversion to f32.

use crate::content::{PIECE, Sink};
use half::{bf16, f16};

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// Double precision floating point, 8 bytes.
    F64,
    /// Single precision floating point, 4 bytes.
    F32,
    /// Half precision floating point, 2 bytes.
    F16,
    /// bfloat16: the upper half of a single precision number, 2 bytes.
    BF16,
    /// Signed integer, 8 bytes.
    I64,
    /// Signed integer, 4 bytes.
    I32,
    /// Signed integer, 2 bytes.
    I16,
    /// Signed integer, 1 byte.
    I8,
    /// Unsigned integer, 1 byte.
    U8,
    /// Boolean, 1 byte: 0 or 1.
    Bool,
}

impl Element {
    /// Name of the type, e.g. `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Element::F64 => "f64",
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::BF16 => "bf16",
            Element::I64 => "i64",
            Element::I32 => "i32",
            Element::I16 => "i16",
            Element::I8 => "i8",
            Element::U8 => "u8",
            Element::Bool => "bool",
        }
    }

    /// Size of an element in bytes.
    pub fn size(self) -> usize {
        match self {
            Element::F64 | Element::I64 => 8,
            Element::F32 | Element::I32 => 4,
            Element::F16 | Element::BF16 | Element::I16 => 2,
            Element::I8 | Element::U8 | Element::Bool => 1,
        }
    }

    /// Converts little-endian elements to f32, with rounding, in pieces of at most [`PIECE`] values.
    pub fn decode_into(self, bytes: &[u8], sink: &mut Sink<'_>) {
        bytes.chunks(PIECE * self.size()).for_each(|piece| sink(&self.decode(piece)));
    }

    /// Converts little-endian elements to f32, with rounding.
    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks().0.iter().map(|element| number(*element)).collect()
        }
        match self {
            Element::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
            Element::F32 => each(bytes, f32::from_le_bytes),
            Element::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Element::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Element::I64 => each(bytes, |b| i64::from_le_bytes(b) as f32),
            Element::I32 => each(bytes, |b| i32::from_le_bytes(b) as f32),
            Element::I16 => each(bytes, |b| i16::from_le_bytes(b).into()),
            Element::I8 => each(bytes, |b| i8::from_le_bytes(b).into()),
            Element::U8 => each(bytes, |b| u8::from_le_bytes(b).into()),
            Element::Bool => each(bytes, |[b]| f32::from(b != 0)),
        }
    }
}
