//! The PyTorch reader against files that PyTorch wrote (`tests/golden/pytorch.py`), against trained ones, and
//! against files made to do harm.

mod fixtures;
mod forge;
mod hostile;
mod trained;

use bcreid_convert::source::{Source, open};
use std::io::Write;

/// Opens bytes as a file.
fn open_bytes(bytes: &[u8]) -> bcreid_convert::Result<Source> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    open(file.path())
}

/// The one-line error that opening these bytes, or reading a tensor of them, ends in.
fn refusal(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let read =
        open(file.path()).and_then(|source| source.tensors.values().try_for_each(|t| t.values().map(drop)));
    let error = read.expect_err("the file was read").to_string();
    let name = file.path().display().to_string();
    let detail = error.strip_prefix(&format!("{name}: ")).unwrap_or_else(|| panic!("no file in {error:?}"));
    assert!(!detail.contains('\n') && detail.len() < 400, "not one short line: {detail}");
    assert!(detail.contains(';'), "no fix: {detail}");
    detail.to_string()
}
