//! Training over several ranks: threads of one process ([`in_threads`]), and processes under the mpirun of MPICH and of Open
//! MPI ([`under_mpirun`]), also on two made-up hosts ([`two_hosts`]).

#[allow(dead_code, reason = "not all tests of this file run the program")]
#[path = "../common/command.rs"]
mod command;
mod in_threads;
#[cfg(unix)]
mod launchers;
#[cfg(unix)]
#[allow(dead_code, reason = "these tests need no Python")]
#[path = "../common/peers.rs"]
mod peers;
#[cfg(target_os = "linux")]
mod two_hosts;
#[cfg(unix)]
mod under_mpirun;

use bcreid::data::synth::Synth;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Settings under which a step takes milliseconds.
const TINY: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.depths=[1, 1, 1, 1]",
    "model.dropout=0.5",
    "input.height=64",
    "input.width=32",
    "data.erase=0.5",
    "data.crop=true",
    "data.pad=4",
    "solver.batch=8",
    "solver.iterations=20",
    "solver.lr=0.0001",
    "solver.lr_milestones=[]",
    "run.checkpoint_every=5",
    "run.log_every=1",
];

/// A small made-up data set, drawn once for all tests; nobody writes into it.
fn data() -> &'static Path {
    static DATA: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set");
        let set = Synth {
            train_ids: 10,
            test_ids: 4,
            cameras: 2,
            images_per_camera: 2..=2,
            distractors: 0,
            junk: 0,
            ..Synth::default()
        };
        set.write(&path, |_, _| ()).unwrap();
        (folder, path)
    });
    path
}

/// The losses of each step of a run.
fn losses(run: &Path) -> Vec<Vec<(String, f64)>> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let of_step = |line: &str| {
        let step: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let numbers = step.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)));
        // Distances that are measured and not trained on amplify rounding more than losses do.
        let is_loss = |name: &str| name != "step" && !name.starts_with("int");
        numbers.filter(|(name, _)| is_loss(name)).collect()
    };
    text.lines().map(of_step).collect()
}

/// Checks that each loss of each step is within `share` of the other run's, and in the first two steps, where no rounding
/// has been amplified yet, within 1e-5.
#[track_caller]
fn assert_near(what: &str, one: &Path, other: &Path, share: f64) {
    let (one, other) = (losses(one), losses(other));
    assert_eq!((one.len(), other.len()), (20, 20), "{what}");
    for (number, (a, b)) in one.iter().zip(&other).enumerate() {
        let share = if number < 2 { share.min(1e-5) } else { share };
        assert!(a.iter().map(|(name, _)| name).eq(b.iter().map(|(name, _)| name)), "{what}: other losses");
        for ((name, a), (_, b)) in a.iter().zip(b) {
            assert!((a - b).abs() <= share * b.abs().max(1e-3), "{what}, step {number}, {name}: {a} and {b}");
        }
    }
}

/// Checks that two runs have the same files, bit for bit.
#[track_caller]
fn assert_same(what: &str, one: &Path, other: &Path) {
    for file in ["weights.safetensors", "metrics.jsonl"] {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(one) == read(other), "{what}: {file} differs");
    }
}
