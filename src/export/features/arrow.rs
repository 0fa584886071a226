//! Features as an Arrow table: an uncompressed IPC file.
//!
//! The file is the magic word, a message with the schema, a message for each batch of rows, a footer with the positions
//! of the batches, and the magic word again. A message is four bytes 0xff, the length of its metadata (i32), the
//! metadata as a flatbuffer, and a body of buffers. Source: Apache Arrow, "Arrow Columnar Format", sections
//! "Encapsulated message format" and "IPC File Format". The structures of the flatbuffers come from the crate
//! `polars-arrow-format`. The `arrow` crates took a fifth of the time in which this whole program compiles; only the
//! tests use them, as a reader.
//!
//! | column | type | |
//! |---|---|---|
//! | `path` | utf8 | null where unknown |
//! | `pid` | int64 | -1 is junk |
//! | `camid` | int64 | null where unknown |
//! | `feature` | fixed-size list of float32 | |
//!
//! The schema's metadata hold the features' origin and weight file under the keys of [`Features`]' own files.

use crate::files::write_atomically;
use crate::weights::Features;
use crate::{Error, Result};
use bytemuck::cast_slice;
use polars_arrow_format::ipc::planus::{Builder, WriteAsOffset};
use polars_arrow_format::ipc::{
    Block, Buffer, Endianness, Field, FieldNode, FixedSizeList, FloatingPoint, Footer, Int, KeyValue,
    Message, MessageHeader, MetadataVersion, Precision, RecordBatch, Schema, Type, Utf8,
};
use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;

/// Bytes of features in a record batch: few enough for memory, enough for a short table of batches.
const BATCH_BYTES: usize = 8 << 20;
/// Rows of a batch, at most, so that the offsets of their paths fit into an i32.
const BATCH_ROWS: usize = 1 << 16;
/// The first and last bytes of a file.
const MAGIC: &[u8; 6] = b"ARROW1";
/// Alignment of the bodies of messages and of their buffers in the file, in bytes.
const ALIGN: usize = 64;

/// Writes the table.
pub fn write(features: &Features, path: &Path) -> Result<()> {
    let Ok(dim) = i32::try_from(features.dim()) else {
        let dim = features.dim();
        return Err(Error::weights(path, format!("features of {dim} values are too long for Arrow")));
    };
    let rows_a_batch = (BATCH_BYTES / (size_of::<f32>() * features.dim())).clamp(1, BATCH_ROWS);
    write_atomically(path, |file| {
        let schema = schema(features, dim);
        let mut writer = Writer { file, at: 0 };
        writer.put(MAGIC)?;
        writer.put(&[0; 2])?;
        writer.message(MessageHeader::Schema(Box::new(schema.clone())), &Body::default())?;
        let mut blocks = Vec::new();
        for start in (0..features.len()).step_by(rows_a_batch) {
            let (batch, body) = batch(features, start..features.len().min(start + rows_a_batch))?;
            blocks.push(writer.message(MessageHeader::RecordBatch(Box::new(batch)), &body)?);
        }
        // The end of the messages for a reader of the file as a stream.
        writer.put(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])?;
        let footer = Footer {
            version: MetadataVersion::V5,
            schema: Some(Box::new(schema)),
            dictionaries: Some(Vec::new()),
            record_batches: Some(blocks),
            custom_metadata: None,
        };
        let footer = flatbuffer(footer);
        writer.put(&footer)?;
        writer.put(&length(footer.len())?.to_le_bytes())?;
        writer.put(MAGIC)
    })
}

/// The columns, and the origin and the weight file of the features as metadata.
fn schema(features: &Features, dim: i32) -> Schema {
    let field = |name: &str, nullable, type_, children| Field {
        name: Some(name.into()),
        nullable,
        type_: Some(type_),
        dictionary: None,
        children: Some(children),
        custom_metadata: None,
    };
    let int64 = || Type::Int(Box::new(Int { bit_width: 64, is_signed: true }));
    let float32 = Type::FloatingPoint(Box::new(FloatingPoint { precision: Precision::Single }));
    let list = Type::FixedSizeList(Box::new(FixedSizeList { list_size: dim }));
    let fields = vec![
        field("path", true, Type::Utf8(Box::new(Utf8 {})), Vec::new()),
        field("pid", false, int64(), Vec::new()),
        field("camid", true, int64(), Vec::new()),
        field("feature", false, list, vec![field("item", false, float32, Vec::new())]),
    ];
    // Buffers have the byte order of this machine.
    let endianness = if cfg!(target_endian = "little") { Endianness::Little } else { Endianness::Big };
    Schema { endianness, fields: Some(fields), custom_metadata: Some(origin(features)), features: None }
}

/// The buffers of a batch, in their order in the file.
#[derive(Default)]
struct Body<'a> {
    buffers: Vec<Cow<'a, [u8]>>,
    places: Vec<Buffer>,
    length: usize,
}

impl<'a> Body<'a> {
    fn add(&mut self, buffer: impl Into<Cow<'a, [u8]>>) {
        let buffer = buffer.into();
        self.places.push(Buffer { offset: self.length as i64, length: buffer.len() as i64 });
        self.length += buffer.len().next_multiple_of(ALIGN);
        self.buffers.push(buffer);
    }

    /// Adds the validity bitmap of a column and returns the number of nulls. Without a null the bitmap is empty.
    fn add_validity(&mut self, valid: impl Iterator<Item = bool>) -> i64 {
        let (mut bits, mut nulls) = (Vec::new(), 0);
        for (at, is_valid) in valid.enumerate() {
            if at % 8 == 0 {
                bits.push(0u8);
            }
            bits[at / 8] |= u8::from(is_valid) << (at % 8);
            nulls += i64::from(!is_valid);
        }
        self.add(if nulls > 0 { bits } else { Vec::new() });
        nulls
    }
}

/// A batch of rows: a node and its buffers for each column and for the elements of its lists.
fn batch(features: &Features, rows: Range<usize>) -> io::Result<(RecordBatch, Body<'_>)> {
    let n = rows.len() as i64;
    let mut body = Body::default();

    let paths = || rows.clone().map(|row| features.paths().get(row));
    let path_nulls = body.add_validity(paths().map(|path| path.is_some()));
    let (mut offsets, mut text) = (vec![0i32], Vec::new());
    for path in paths() {
        text.extend_from_slice(path.map_or(&[][..], |path| path.as_bytes()));
        offsets.push(length(text.len())?);
    }
    body.add(cast_slice(&offsets).to_vec());
    body.add(text);

    body.add(Vec::new());
    body.add(cast_slice(&features.pids()[rows.clone()]));

    let camids = &features.camids()[rows.clone()];
    let camid_nulls = body.add_validity(camids.iter().map(|&camid| camid != -1));
    body.add(cast_slice(camids));

    let values = &features.features()[rows.start * features.dim()..rows.end * features.dim()];
    body.add(Vec::new());
    body.add(Vec::new());
    body.add(cast_slice(values));

    let nodes = [(n, path_nulls), (n, 0), (n, camid_nulls), (n, 0), (values.len() as i64, 0)];
    let batch = RecordBatch {
        length: n,
        nodes: Some(nodes.map(|(length, null_count)| FieldNode { length, null_count }).to_vec()),
        buffers: Some(body.places.clone()),
        compression: None,
        variadic_buffer_counts: None,
    };
    Ok((batch, body))
}

/// A writer that counts its bytes.
struct Writer<'a> {
    file: &'a mut dyn Write,
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len();
        self.file.write_all(bytes)
    }

    /// Writes zeros up to the next multiple of [`ALIGN`].
    fn pad(&mut self) -> io::Result<()> {
        self.put(&[0; ALIGN][..self.at.next_multiple_of(ALIGN) - self.at])
    }

    /// Writes a message and returns its position.
    fn message(&mut self, header: MessageHeader, body: &Body<'_>) -> io::Result<Block> {
        let metadata = flatbuffer(Message {
            version: MetadataVersion::V5,
            header: Some(header),
            body_length: body.length as i64,
            custom_metadata: None,
        });
        let offset = self.at;
        let end = (offset + 8 + metadata.len()).next_multiple_of(ALIGN);
        self.put(&[0xff; 4])?;
        self.put(&length(end - offset - 8)?.to_le_bytes())?;
        self.put(&metadata)?;
        self.pad()?;
        for buffer in &body.buffers {
            self.put(buffer)?;
            self.pad()?;
        }
        Ok(Block {
            offset: offset as i64,
            meta_data_length: length(end - offset)?,
            body_length: body.length as i64,
        })
    }
}

fn flatbuffer<T>(root: impl WriteAsOffset<T>) -> Vec<u8> {
    Builder::new().finish(root, None).to_vec()
}

fn length(bytes: usize) -> io::Result<i32> {
    i32::try_from(bytes)
        .map_err(|_| io::Error::other(format!("{bytes} bytes are too many for a part of an Arrow file")))
}

/// The origin and the weight file of the features as metadata.
fn origin(features: &Features) -> Vec<KeyValue> {
    let origin = features.origin();
    let known = [
        ("format", Some("bcreid".to_string())),
        ("network", origin.network.clone()),
        ("mirrored", origin.mirrored.map(|mirrored| mirrored.to_string())),
        ("pooled", origin.pooled.clone()),
        ("layer", origin.layer.clone()),
        ("weights", features.weights().map(|weights| weights.to_json())),
    ];
    let entry = |(key, value): (&str, Option<String>)| {
        Some(KeyValue { key: Some(key.to_string()), value: Some(value?) })
    };
    known.into_iter().filter_map(entry).collect()
}
