//! Checks by third-party programs: each test writes files with this program and passes them to a Python script beside
//! this file.
//!
//! `tools/get-peers.sh` makes the Python environment they run in; `BCREID_PEERS_PYTHON` names the interpreter of
//! another one. Without either these tests say so and pass; with `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, they fail
//! instead.

// Nothing is to fail here.
#[allow(dead_code)]
#[path = "../common/command.rs"]
mod command;
#[path = "../common/evaluated_run.rs"]
mod evaluated_run;
mod evaluators;
mod features;
#[path = "../common/network.rs"]
mod network;
mod onnx;
#[path = "../common/peers.rs"]
mod peers;
mod report;
mod rerank;
mod shards;
mod tensorboard;
mod train;

use evaluated_run::{bcreid, evaluated_run};
use peers::{python, skip};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Runs one of the scripts beside this file and shows what it said.
#[track_caller]
fn check(python: &OsStr, script: &str, arguments: &[impl AsRef<OsStr>]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(script);
    print!("{}", command::succeed(Command::new(python).arg(script).args(arguments)));
}
