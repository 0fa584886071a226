//! Reader of the protobuf wire format: a message is a sequence of fields, each a number and a value.
//!
//! Large messages are not decoded at once: a nested message stays a slice of the mapped file until its content is
//! needed. So a model needs memory for one tensor at a time, saved gradients need none, and a hostile file of many
//! tiny messages does not expand in memory.

use prost::bytes::{Buf, Bytes};
use prost::encoding::decode_varint;

/// Error text about a message; the caller adds the message's name and the file.
pub type Fault = String;

/// The value of a field.
#[derive(Debug, PartialEq)]
pub enum Value {
    /// An integer, an enum or a bool; negative ones as two's complement.
    Varint(u64),
    /// Eight bytes: a double.
    Fixed64(u64),
    /// A text, a nested message, or packed numbers.
    Bytes(Bytes),
    /// Four bytes: a float.
    Fixed32(u32),
}

/// Iterator over the fields of a message in the order of the file; it ends after the first fault.
pub struct Fields(Bytes);

impl Fields {
    /// Creates the iterator over the message in `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Fields(bytes)
    }

    fn field(&mut self) -> Result<(u32, Value), Fault> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or("a field has an impossible number")?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.0.try_get_u64_le().map_err(|_| cut(number, 8, self.0.len()))?),
            2 => {
                let announced = self.varint()?;
                let left = self.0.len();
                let length = usize::try_from(announced).ok().filter(|length| *length <= left);
                Value::Bytes(self.0.split_to(length.ok_or_else(|| cut(number, announced, left))?))
            }
            5 => Value::Fixed32(self.0.try_get_u32_le().map_err(|_| cut(number, 4, self.0.len()))?),
            3 | 4 => return Err(format!("field {number} is a group, which Caffe does not use")),
            kind => return Err(format!("field {number} is of the unknown wire type {kind}")),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        decode_varint(&mut self.0).map_err(|_| "a number does not end where it should".into())
    }
}

fn cut(number: u32, needed: u64, left: usize) -> Fault {
    format!("field {number} needs {needed} bytes and {left} are left")
}

impl Iterator for Fields {
    type Item = Result<(u32, Value), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0.clear();
        }
        Some(field)
    }
}
