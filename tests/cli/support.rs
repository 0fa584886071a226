//! Shared parts of the tests: a temporary folder, a small data set, and the program.

use std::ffi::OsStr;
use std::fs;
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

/// Asserts that a text has these words.
#[track_caller]
pub fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

/// The program with arguments.
pub fn called<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = bcreid();
    command.args(arguments);
    command
}

/// The text of a path.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `bcreid train --resume` on the small data set.
pub fn resume(out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(out).arg("--resume");
    command
}

/// Makes `stopped` the folder of a copy of the run `whole` that was stopped behind its checkpoint of `newest` iterations.
pub fn stop_after(whole: &Path, newest: u64, stopped: &Path) {
    let _ = fs::remove_dir_all(stopped);
    fs::create_dir_all(stopped.join("checkpoints")).unwrap();
    let checkpoint = format!("checkpoints/step_{newest:010}.safetensors");
    for file in ["config.toml", "provenance.json", "metrics.jsonl", &checkpoint] {
        fs::copy(whole.join(file), stopped.join(file)).unwrap();
    }
}

/// Asserts that two runs have the same weights and metrics, bit for bit.
#[track_caller]
pub fn assert_same(one: &Path, other: &Path) {
    for file in ["weights.safetensors", "metrics.jsonl"] {
        let read = |run: &Path| fs::read(run.join(file)).unwrap();
        assert!(read(one) == read(other), "{file} differs");
    }
}
