//! The Caffe reader against files that a Python script and these tests write, good and bad.

mod hostile;
mod memory;
mod misfits;
mod nets;
mod options;
mod pixels;
mod proto;
mod prototxt;
mod release;
mod settings;
mod trunk;
mod variants;
mod wired;

use bcreid_convert::caffe;
use bcreid_convert::source::Source;
use std::path::PathBuf;

/// A file under `tests/golden`.
fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// Opens `bytes` as a Caffe model; an error is a single line that names the file.
fn open(bytes: &[u8]) -> Result<Source, String> {
    on_disk(bytes, caffe::open)
}

/// Gives `bytes` to `reader` as a file.
fn on_disk<T>(bytes: &[u8], reader: impl Fn(&std::path::Path) -> bcreid::Result<T>) -> Result<T, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.caffemodel");
    std::fs::write(&path, bytes).unwrap();
    reader(&path).map_err(|error| {
        let text = error.to_string();
        assert!(text.contains("some.caffemodel: "), "{text}");
        assert!(!text.contains(char::is_control) && text.len() < 700, "{text:?}");
        text
    })
}

/// Asserts that opening `bytes` fails and that the error says each of `words`.
#[track_caller]
fn refused(bytes: &[u8], words: &[&str]) {
    let error = open(bytes).expect_err("it was opened");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}
