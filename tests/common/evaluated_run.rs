//! A small set, and an evaluated run on it.

use super::command::succeed;
use std::path::Path;
use std::process::Command;

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
    "run.checkpoint_every=10",
];

/// The program, on one thread.
pub fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}

/// A small set in `folder/set` and a run on it in `folder/run`, trained with `more` and evaluated; the result is in
/// `folder/eval.json` too.
pub fn evaluated_run(folder: &Path, more: &[&str]) {
    let (set, run) = (folder.join("set"), folder.join("run"));
    let sizes = ["--train-ids", "6", "--test-ids", "6", "--cameras", "2", "--images-per-camera", "2"];
    succeed(bcreid().arg("synth").arg("--out").arg(&set).args(sizes));
    let mut train = bcreid();
    train.args(["train", "--data"]).arg(&set).arg("--out").arg(&run).args(more);
    SLIM.iter().for_each(|setting| {
        train.args(["--set", setting]);
    });
    succeed(&mut train);
    let mut eval = bcreid();
    eval.args(["eval", "--run"])
        .arg(&run)
        .arg("--data")
        .arg(&set)
        .arg("--json")
        .arg(folder.join("eval.json"));
    succeed(&mut eval);
}
