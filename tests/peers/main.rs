//! Other people's programs check what this one writes: each test makes its input with the program and hands it to a
//! Python script beside this file.
//!
//! `tools/get-peers.sh` makes the Python environment they run in; `BCREID_PEERS_PYTHON` names the interpreter of another
//! one. Without either these tests say so and pass; with `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, they fail instead.

// Nothing is to fail here.
#[allow(dead_code)]
#[path = "../common/command.rs"]
mod command;
#[path = "../common/network.rs"]
mod network;
mod onnx;

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::Command;

const FETCHED: &str = "tools/peers/venv/bin/python";

/// The interpreter, or a note that there is none; written past the test's capture, which would hide it.
fn python() -> Option<OsString> {
    if let Some(python) = std::env::var_os("BCREID_PEERS_PYTHON").filter(|python| !python.is_empty()) {
        return Some(python);
    }
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(FETCHED);
    if fetched.exists() {
        return Some(fetched.into());
    }
    let required = std::env::var_os("BCREID_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "BCREID_REQUIRE_PEERS=1, but there is no {FETCHED}; run tools/get-peers.sh");
    std::io::stderr().write_all(b"skipped: no Python with peers (tools/get-peers.sh)\n").unwrap();
    None
}

/// Runs one of the scripts beside this file and shows what it said.
#[track_caller]
fn check(python: &OsStr, script: &str, arguments: &[impl AsRef<OsStr>]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    print!("{}", command::succeed(Command::new(python).arg(script).args(arguments)));
}

/// The program, on one thread: the tests run side by side.
fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}
