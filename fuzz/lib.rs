//! Common functions of the fuzz targets.

pub mod run_folder;

use bcreid::Result;
use bcreid::weights::Features;
use bcreid_convert::network::{self, Unseen};
use std::path::Path;
use tempfile::TempDir;

/// Largest number of elements of a tensor that is read; larger tensors would only exhaust memory.
const LARGEST: usize = 1 << 22;

/// Opens the bytes as a weight file and reads its tensors. Errors are expected; a panic, a leak or excessive memory
/// is a finding.
pub fn weights(bytes: &[u8]) {
    let folder = folder();
    let Some(source) = good(bcreid_convert::source::open(&put(&folder, "weights", bytes))) else { return };
    for (name, tensor) in &source.tensors {
        let count = tensor.shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        if count.is_none_or(|count| count > LARGEST) {
            continue;
        }
        if let Ok(values) = tensor.values() {
            assert_eq!(Some(values.len()), count, "{name}");
        }
    }
    good(network::recognise(&source, Path::new("weights"), Unseen::of(&source)));
}

/// Reads the bytes as the prototxt of a model with one convolution, and as that of a small ResNet.
pub fn prototxt(bytes: &[u8]) {
    let folder = folder();
    let text = put(&folder, "text", bytes);
    for model in [&b"\xa2\x06\x07\x0a\x05conv1"[..], include_bytes!("seeds/caffemodel/wired")] {
        let model = put(&folder, "weights", model);
        let Some(model) = good(bcreid_convert::caffe::Model::open(&model, Some(&text))) else { continue };
        let _ = model.layers().count();
        good(model.source(bcreid_convert::source::Asked::default()));
    }
}

/// Reads the bytes as weights, with `magic` written over them at offset `at`.
pub fn weights_as(bytes: &[u8], at: usize, magic: &[u8]) {
    let mut bytes = bytes.to_vec();
    let end = at + magic.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[at..end].copy_from_slice(magic);
    weights(&bytes);
}

/// Checks that features are consistent and finite, and that writing and reading them again changes nothing.
pub fn features(read: Result<Features>) {
    let Some(features) = good(read) else { return };
    let rows = features.len();
    assert_eq!(features.features().len(), rows * features.dim());
    assert_eq!((features.pids().len(), features.camids().len()), (rows, rows));
    assert!(features.paths().is_empty() || features.paths().len() == rows);
    assert!(features.features().iter().all(|value| value.is_finite()));
    let folder = folder();
    let again = folder.path().join("again.safetensors");
    features.write(&again).expect("what was read can be written");
    assert_eq!(Features::read(&again).expect("what was written can be read"), features);
}

/// The value, or `None` if the reader refused the input; the error must be one line.
pub fn good<T>(read: Result<T>) -> Option<T> {
    read.inspect_err(|e| assert!(!e.to_string().contains('\n'), "not one line: {e}")).ok()
}

/// Temporary folder for the files of an input, in memory if the system has /dev/shm.
pub fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    TempDir::new_in(home).expect("a temporary folder")
}

/// Writes a file of an input.
pub fn put(folder: &TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("room for a temporary file");
    path
}
