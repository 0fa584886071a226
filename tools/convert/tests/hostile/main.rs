//! The program against files of strangers: each ends in one line of error, or is listed, within limits of memory and
//! time; and no name in a file forges a line of the program.
#![cfg(target_os = "linux")]

#[path = "../torch/forge.rs"]
#[allow(dead_code, reason = "shared with the tests of the PyTorch reader")]
mod forge;
#[path = "../caffe/proto.rs"]
#[allow(dead_code, reason = "shared with the tests of the Caffe reader")]
mod proto;

mod bounds;
mod names;
mod network;
mod outputs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// A file under `tests/golden`.
fn golden(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", name].iter().collect()
}

/// Runs the program. The system ends it where it takes more than 300 MiB of memory, counted before it is touched, or
/// two seconds of processor time.
fn convert<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    const KIB: usize = 300 << 10;
    const SECONDS: usize = 2;
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -d {KIB} && ulimit -t {SECONDS} && exec \"$0\" \"$@\""));
    command.arg(env!("CARGO_BIN_EXE_bcreid-convert")).args(arguments).output().unwrap()
}

/// The one-line error of a refused call.
#[track_caller]
fn refusal<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = convert(arguments);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{} {text}", output.status);
    assert_eq!(text.lines().count(), 1, "{text}");
    text.strip_prefix("bcreid-convert: ").unwrap_or_else(|| panic!("no error of the program: {text}")).into()
}

/// The standard output of a successful call.
#[track_caller]
fn said<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = convert(arguments);
    assert!(output.status.success(), "{} {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// Listing and conversion of a file end in an error with each of the words.
#[track_caller]
fn both_refuse(file: &Path, words: &[&str]) {
    let out = file.with_extension("out.safetensors");
    for arguments in [
        vec![file.as_os_str(), OsStr::new("--list")],
        vec![file.as_os_str(), OsStr::new("--out"), out.as_os_str()],
    ] {
        let error = refusal(&arguments);
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} are not in: {error}");
        assert!(!out.exists());
    }
}
