//! Shared parts of the tests: a small data set, the program on either device, and a run's files.

use bcreid::device::cuda::CudaDevice;
use bcreid::device::{Device, Precision};
use softcuda::StandIns;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use tempfile::TempDir;

#[path = "../common/command.rs"]
mod command;
pub use command::{fail, stderr, succeed};
#[path = "../common/stand_ins.rs"]
mod stand_ins;
use stand_ins::{environment, in_own_process};
pub use stand_ins::{on_gpu, stand_ins};

/// Settings under which a step takes a third of a second on the stand-ins. Of five steps the third one is captured, and
/// the others replay it. At this rate a rounding error of the first step is still one in the last.
pub const SMALL: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.depths=[1, 1, 1, 1]",
    "model.dropout=0.5",
    "input.height=64",
    "input.width=32",
    "loss.batch_contrastive.weight=0.1",
    "solver.batch=8",
    "solver.iterations=5",
    "solver.lr=3e-5",
    "data.crop=true",
    "data.pad=4",
    "run.log_every=1",
];

/// The program, on one thread: the tests run side by side. `--device` is to be said.
pub fn bcreid() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
    command.args(["--threads", "1"]);
    command
}

/// Where a command computes, and in what.
#[derive(Clone, Copy, Debug)]
pub enum On {
    Cpu,
    /// With this precision.
    Gpu(&'static StandIns, &'static str),
    /// Likewise, with batch normalisation by cuDNN.
    Cudnn(&'static StandIns, &'static str),
}

pub fn f32(stand_ins: &'static StandIns) -> On {
    On::Gpu(stand_ins, "f32")
}

/// Runs the test `name` again in a process of its own, and `body` there: a library path counts only when a process
/// starts.
#[track_caller]
pub fn on_device(name: &str, body: fn(&Device, &Arc<CudaDevice>)) {
    in_own_process(name, || {
        let gpu = CudaDevice::open(0, Precision::F32).unwrap();
        body(&Device::Cuda(gpu.clone()), &gpu);
    });
}

impl On {
    /// A subcommand there.
    pub fn bcreid(self, subcommand: &str) -> Command {
        let mut command = bcreid();
        command.arg(subcommand);
        match self {
            On::Cpu => command.args(["--device", "cpu"]),
            On::Gpu(stand_ins, precision) => {
                command.envs(environment(stand_ins));
                command.args(["--device", "cuda", "--precision", precision])
            }
            On::Cudnn(stand_ins, precision) => {
                command.envs(environment(stand_ins));
                command.args(["--device", "cuda", "--precision", precision, "--batchnorm", "cudnn"])
            }
        };
        command
    }

    /// `bcreid train` on the data set, with the small settings and `more` on top.
    pub fn train(self, data: &Path, out: &Path, more: &[&str]) -> Command {
        let mut command = self.bcreid("train");
        command.arg("--data").arg(data).arg("--out").arg(out);
        for setting in SMALL.iter().chain(more) {
            command.args(["--set", setting]);
        }
        command
    }

    pub fn resume(self, data: &Path, out: &Path) -> Command {
        let mut command = self.bcreid("train");
        command.arg("--data").arg(data).arg("--out").arg(out).arg("--resume");
        command
    }

    /// A finished run.
    #[track_caller]
    pub fn trained(self, more: &[&str]) -> Run {
        Run::of(|out| self.train(data(), out, more))
    }

    /// As [`On::trained`]: a run that several tests compare others with, made once for all of them. Nobody writes into
    /// it.
    #[track_caller]
    pub fn trained_once(self, more: &[&str]) -> &'static Run {
        static RUNS: Mutex<BTreeMap<String, &'static OnceLock<Run>>> = Mutex::new(BTreeMap::new());
        let mut runs = RUNS.lock().unwrap();
        let run = *runs.entry(format!("{self:?} {more:?}")).or_insert_with(|| Box::leak(Box::default()));
        drop(runs);
        run.get_or_init(|| self.trained(more))
    }
}

/// A run's folder, which goes with it.
pub struct Run(TempDir);

impl Run {
    #[track_caller]
    pub fn of(command: impl FnOnce(&Path) -> Command) -> Self {
        let run = Run(tempfile::tempdir().unwrap());
        succeed(&mut command(&run.path()));
        run
    }

    pub fn path(&self) -> PathBuf {
        self.0.path().join("run")
    }

    pub fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path().join(file)).unwrap()
    }

    pub fn losses(&self) -> Vec<[f64; 5]> {
        losses(&self.path())
    }

    /// Weights and statistics: name and elements.
    pub fn weights(&self) -> Vec<(String, Vec<f32>)> {
        let file = bcreid::weights::read_tensors(&self.path().join("weights.safetensors")).unwrap();
        let tensor = |name: &str| (name.to_string(), file.tensor(name).unwrap().f32().unwrap().into_owned());
        file.names().map(tensor).collect()
    }
}

/// The losses that `metrics.jsonl` names, of each step.
pub fn losses(run: &Path) -> Vec<[f64; 5]> {
    let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let step = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        ["loss", "softmax", "positive", "hinge", "center"].map(|name| line[name].as_f64().unwrap())
    };
    lines.lines().map(step).collect()
}

/// The largest relative difference of two runs' losses.
#[track_caller]
pub fn apart(ours: &[[f64; 5]], theirs: &[[f64; 5]]) -> f64 {
    assert!(!ours.is_empty() && ours.len() == theirs.len(), "{} steps and {}", ours.len(), theirs.len());
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    pairs.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / b.abs() }).fold(0.0, f64::max)
}

/// A small made-up data set, drawn once for all tests; nobody writes into it.
pub fn data() -> &'static Path {
    static DATA: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = DATA.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("set");
        drawn(&path, 8);
        (folder, path)
    });
    path
}

/// Draws a data set with so many persons to train on.
pub fn drawn(at: &Path, persons: usize) {
    let rest = ["--test-ids", "6", "--distractors", "8", "--junk", "4"];
    succeed(
        bcreid().arg("synth").arg("--out").arg(at).args(["--train-ids", &persons.to_string()]).args(rest),
    );
}
