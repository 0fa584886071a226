//! Shared parts of the tests: a temporary folder, a small data set, and the program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

#[path = "../common/command.rs"]
mod command;
pub use command::{fail, stderr, succeed};
#[path = "../common/peak.rs"]
mod peak;
pub use peak::fail_within_limits;

/// Settings under which a step takes milliseconds.
pub const TINY: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.depths=[1, 1, 1, 1]",
    "model.dropout=0.5",
    "input.height=64",
    "input.width=32",
    "solver.batch=8",
    "solver.iterations=12",
    "solver.lr_milestones=[8]",
    "run.checkpoint_every=3",
    "run.log_every=1",
];

/// The program, on one thread: the tests run side by side.
pub fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}

/// A small made-up data set, drawn once for all tests; nobody writes into it.
pub fn data() -> &'static Path {
    static DATA: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set");
        let sizes = ["--train-ids", "6", "--test-ids", "4", "--cameras", "2", "--images-per-camera", "2"];
        succeed(bcreid().arg("synth").arg("--out").arg(&path).args(sizes));
        (folder, path)
    });
    path
}

/// A copy of the data set that a test may spoil.
pub fn own_data(folder: &Path) -> PathBuf {
    let copy = folder.join("set");
    for part in ["bounding_box_train", "query", "bounding_box_test"] {
        std::fs::create_dir_all(copy.join(part)).unwrap();
        for entry in std::fs::read_dir(data().join(part)).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, copy.join(part).join(from.file_name().unwrap())).unwrap();
        }
    }
    copy
}

/// `bcreid train` with the tiny settings and `more` on top.
pub fn train(data: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data).arg("--out").arg(out);
    for setting in TINY.iter().chain(more) {
        command.args(["--set", setting]);
    }
    command
}
