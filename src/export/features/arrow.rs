//! Features as an Arrow table: an uncompressed IPC file.
//!
//! | column | type | |
//! |---|---|---|
//! | `path` | utf8 | null where unknown |
//! | `pid` | int64 | -1 is junk |
//! | `camid` | int64 | null where unknown |
//! | `feature` | fixed-size list of float32 | |
//!
//! The schema's metadata hold the features' origin under the keys of [`Features`]' own files.

use crate::files::write_atomically;
use crate::weights::Features;
use crate::{Error, Result};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Bytes of features in a record batch: few enough for memory, enough for a short table of batches.
const BATCH_BYTES: usize = 8 << 20;

/// Writes the table.
pub fn write(features: &Features, path: &Path) -> Result<()> {
    let Ok(dim) = i32::try_from(features.dim()) else {
        let dim = features.dim();
        return Err(Error::weights(path, format!("features of {dim} values are too long for Arrow")));
    };
    let element = Arc::new(Field::new("item", DataType::Float32, false));
    let fields = vec![
        Field::new("path", DataType::Utf8, true),
        Field::new("pid", DataType::Int64, false),
        Field::new("camid", DataType::Int64, true),
        Field::new("feature", DataType::FixedSizeList(element.clone(), dim), false),
    ];
    let schema = Arc::new(Schema::new_with_metadata(fields, origin(features)));

    let batch = |rows: Range<usize>| -> std::result::Result<RecordBatch, ArrowError> {
        let paths: StringArray = rows.clone().map(|row| features.paths().get(row)).collect();
        let pids = Int64Array::from(features.pids()[rows.clone()].to_vec());
        let camids: Int64Array =
            features.camids()[rows.clone()].iter().map(|&camid| (camid != -1).then_some(camid)).collect();
        let values = &features.features()[rows.start * features.dim()..rows.end * features.dim()];
        let values = Arc::new(Float32Array::from(values.to_vec()));
        let rows = FixedSizeListArray::try_new(element.clone(), dim, values, None)?;
        let columns: Vec<ArrayRef> = vec![Arc::new(paths), Arc::new(pids), Arc::new(camids), Arc::new(rows)];
        RecordBatch::try_new(schema.clone(), columns)
    };
    let rows_a_batch = (BATCH_BYTES / (size_of::<f32>() * features.dim())).max(1);
    write_atomically(path, |file| {
        let mut writer = FileWriter::try_new(file, &schema).map_err(io_error)?;
        for start in (0..features.len()).step_by(rows_a_batch) {
            let end = features.len().min(start + rows_a_batch);
            batch(start..end).and_then(|batch| writer.write(&batch)).map_err(io_error)?;
        }
        writer.finish().map_err(io_error)
    })
}

/// Converts an error of Arrow; an error of the file system is passed on unchanged.
fn io_error(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// The features' origin as metadata.
fn origin(features: &Features) -> HashMap<String, String> {
    let origin = features.origin();
    let known = [
        ("format", Some("bcreid".to_string())),
        ("network", origin.network.clone()),
        ("mirrored", origin.mirrored.map(|mirrored| mirrored.to_string())),
        ("pooled", origin.pooled.clone()),
    ];
    known.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?))).collect()
}
