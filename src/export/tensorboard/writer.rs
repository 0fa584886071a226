//! Writer of event files, which are sequences of [`Event`] messages.
//!
//! A record is the length of the message (u64), a checksum of the length, the message, and a checksum of the message.
//! The checksums are masked CRC-32C: rotated, plus a constant, because a plain CRC of data that contains CRCs is weak.
//! Source: TensorFlow's `record_writer.cc` and `crc32c.h`.

use super::histogram::Histogram;
use super::proto::{
    Content, Event, Image, PluginData, SessionLog, Summary, SummaryMetadata, TensorProto, TensorShapeProto,
    Value, What,
};
use prost::Message;
use std::io::{self, Write};

/// Format version, the content of the first event.
const FILE_VERSION: &str = "brain.Event:2";

/// Writer of events; `W` should be buffered.
#[derive(Debug)]
pub struct EventWriter<W: Write> {
    out: W,
    /// Buffer of the current record.
    record: Vec<u8>,
}

impl<W: Write> EventWriter<W> {
    /// Starts a file; readers then discard the earlier events of its folder.
    ///
    /// # Errors
    /// An error of writing.
    pub fn new(out: W, wall_time: f64) -> io::Result<Self> {
        let mut writer = EventWriter::append(out);
        let version = What::FileVersion(FILE_VERSION.into());
        let start = What::SessionLog(SessionLog { status: SessionLog::START });
        for what in [version, start] {
            writer.event(&Event { wall_time, step: 0, what: Some(what) })?;
        }
        Ok(writer)
    }

    /// Continues a file that has been started.
    pub fn append(out: W) -> Self {
        EventWriter { out, record: Vec::new() }
    }

    /// Writes the tagged values of a step.
    ///
    /// # Errors
    /// An error of writing.
    pub fn scalars<'a>(
        &mut self,
        wall_time: f64,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f32)>,
    ) -> io::Result<()> {
        self.described_scalars(wall_time, step, values.into_iter().map(|(tag, value)| (tag, value, None)))
    }

    /// Writes the tagged values of a step, with descriptions; readers use the description of a tag's first value.
    ///
    /// # Errors
    /// An error of writing.
    pub fn described_scalars<'a>(
        &mut self,
        wall_time: f64,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f32, Option<&'a str>)>,
    ) -> io::Result<()> {
        let value = |(tag, value, description): (&str, f32, Option<&str>)| Value {
            tag: tag.into(),
            content: Some(Content::SimpleValue(value)),
            // TensorBoard's reader warns of metadata that name no part of it.
            metadata: description.map(|text| SummaryMetadata {
                plugin_data: Some(PluginData { plugin_name: PluginData::SCALARS.into() }),
                summary_description: text.into(),
                data_class: SummaryMetadata::SCALAR,
            }),
        };
        self.summary(wall_time, step, values.into_iter().map(value).collect())
    }

    /// Writes lines of text, which TensorBoard shows as they are: as a code block of Markdown, in which it reads no
    /// markup, so that no line can load an image or show a link. The lines must have no line breaks.
    ///
    /// # Errors
    /// An error of writing.
    pub fn lines(&mut self, wall_time: f64, step: u64, tag: &str, lines: &[String]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        let tensor = TensorProto {
            dtype: TensorProto::STRING,
            tensor_shape: Some(TensorShapeProto {}),
            string_val: vec![text.into_bytes()],
        };
        let metadata = SummaryMetadata {
            plugin_data: Some(PluginData { plugin_name: PluginData::TEXT.into() }),
            data_class: SummaryMetadata::TENSOR,
            ..Default::default()
        };
        let (content, metadata) = (Some(Content::Tensor(tensor)), Some(metadata));
        self.summary(wall_time, step, vec![Value { tag: tag.into(), content, metadata }])
    }

    /// Writes a histogram.
    ///
    /// # Errors
    /// An error of writing.
    pub fn histogram(
        &mut self,
        wall_time: f64,
        step: u64,
        tag: &str,
        histogram: &Histogram,
    ) -> io::Result<()> {
        self.single(wall_time, step, tag, Content::Histo(histogram.proto.clone()))
    }

    /// Writes an image, given as the bytes of an RGB PNG file and its size in pixels.
    ///
    /// # Errors
    /// An error of writing.
    pub fn image(
        &mut self,
        wall_time: f64,
        step: u64,
        tag: &str,
        png: &[u8],
        [width, height]: [u32; 2],
    ) -> io::Result<()> {
        let size = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        let image = Image {
            height: size(height),
            width: size(width),
            colorspace: Image::RGB,
            encoded_image_string: png.to_vec(),
        };
        self.single(wall_time, step, tag, Content::Image(image))
    }

    fn single(&mut self, wall_time: f64, step: u64, tag: &str, content: Content) -> io::Result<()> {
        self.summary(wall_time, step, vec![Value { tag: tag.into(), content: Some(content), metadata: None }])
    }

    fn summary(&mut self, wall_time: f64, step: u64, value: Vec<Value>) -> io::Result<()> {
        let summary = Summary { value };
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        self.event(&Event { wall_time, step, what: Some(What::Summary(summary)) })
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let length = (event.encoded_len() as u64).to_le_bytes();
        self.record.clear();
        self.record.extend_from_slice(&length);
        self.record.extend_from_slice(&masked(&length));
        event.encode(&mut self.record).expect("a vector grows");
        let checksum = masked(&self.record[12..]);
        self.record.extend_from_slice(&checksum);
        self.out.write_all(&self.record)
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// An error of writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Masked CRC-32C of `bytes`, as stored in the file.
fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that TensorBoard's own `RecordWriter` makes of this message.
    #[test]
    fn the_first_record() {
        let mut out = Vec::new();
        EventWriter::new(&mut out, 1.0).unwrap();
        let record = b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09\0\0\0\0\0\0\xf0\x3f\x1a\x0dbrain.Event:2\x86\xbf\x57\x7a";
        assert_eq!(out[..record.len()], *record);
    }
}
