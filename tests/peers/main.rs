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
mod evaluators;
mod features;
#[path = "../common/network.rs"]
mod network;
mod onnx;
#[path = "../common/peers.rs"]
mod peers;
mod report;
mod rerank;
mod tensorboard;
mod train;

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

/// Settings of a network that learns something within 40 steps of milliseconds.
const SLIM: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.dropout=0.5",
    "input.height=64",
    "input.width=32",
    "solver.batch=8",
    "solver.iterations=40",
    "solver.lr_milestones=[]",
];

/// A small set in `folder/set` and a run on it in `folder/run`, trained with `more` and evaluated.
fn evaluated_run(folder: &Path, more: &[&str]) {
    let (set, run) = (folder.join("set"), folder.join("run"));
    let sizes = ["--train-ids", "6", "--test-ids", "6", "--cameras", "2", "--images-per-camera", "2"];
    command::succeed(bcreid().arg("synth").arg("--out").arg(&set).args(sizes));
    let mut train = bcreid();
    train.args(["train", "--data"]).arg(&set).arg("--out").arg(&run).args(more);
    SLIM.iter().for_each(|setting| {
        train.args(["--set", setting]);
    });
    command::succeed(&mut train);
    command::succeed(bcreid().args(["eval", "--run"]).arg(&run).arg("--data").arg(&set));
}

/// The program, on one thread: the tests run side by side.
fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}
