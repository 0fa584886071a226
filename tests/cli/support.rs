//! Shared parts of the tests: a temporary folder, a small data set, and the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

#[path = "../common/command.rs"]
mod command;
#[cfg(target_os = "linux")]
pub use command::limited;
pub use command::{fail, stderr, succeed};

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

/// Number of steps in a run's metrics.
pub fn lines(out: &Path) -> usize {
    std::fs::read_to_string(out.join("metrics.jsonl")).map_or(0, |t| t.lines().count())
}

/// Starts `command`, waits until `out` holds at least `steps` lines of metrics, then sends `signal`.
pub fn interrupt(mut command: Command, out: &Path, steps: usize, signal: &str) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..60_000 {
        if lines(out) >= steps {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let killed = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    child.wait_with_output().unwrap()
}
