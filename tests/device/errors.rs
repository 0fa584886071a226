//! Errors for a missing device, a missing library and exhausted memory.

use crate::support::{On, Run, SMALL, bcreid, data, f32, fail, losses, stand_ins, stderr, succeed};
use softcuda::StandIns;
use std::path::Path;
use std::process::Command;

/// The program with these libraries, and without the variables that could lead to others.
fn with(stand_ins: &StandIns) -> Command {
    let mut command = bcreid();
    for other in ["CUDA_HOME", "CUDA_PATH", "CONDA_PREFIX", "VIRTUAL_ENV", "PYTHONPATH", "HOME", "PATH"] {
        command.env_remove(other);
    }
    command.envs(stand_ins.environment());
    command
}

/// One step of a small network on a device of this name.
fn wanting<'a>(command: &'a mut Command, device: &str, out: &Path) -> &'a mut Command {
    command.args(["train", "--device", device, "--data"]).arg(data()).arg("--out").arg(out);
    for setting in SMALL.iter().chain(&["solver.iterations=1", "solver.lr_milestones=[]"]) {
        command.args(["--set", setting]);
    }
    command
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "not said: {part}\n{text}");
    }
}

/// What ends `--device cuda`, and what `auto` and `doctor` make of it.
#[track_caller]
fn missing(machine: impl Fn() -> Command, error: &[&str], brief: &str) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let told = fail(wanting(&mut machine(), "cuda", &out));
    assert_says(&told, &["device cuda: "]);
    assert_says(&told, error);
    let output = wanting(&mut machine(), "auto", &out).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let took: Vec<String> =
        stderr(&output).lines().filter(|line| line.starts_with("device: ")).map(String::from).collect();
    assert_eq!(took.len(), 1, "{}", stderr(&output));
    assert_eq!(took[0], "device: cpu, 1 thread");
    let doctor = succeed(machine().arg("doctor"));
    assert_says(&doctor, error);
    assert_says(&doctor, &["--device auto takes cpu, 1 thread, because CUDA is missing: ", brief]);
}

#[test]
fn no_driver() {
    if stand_ins().is_none() {
        return;
    }
    // SAFETY: a driver does nothing when it is loaded.
    if unsafe { libloading::Library::new("libcuda.so.1") }.is_ok() {
        return eprintln!("skipped: this machine has a driver");
    }
    let bare = || {
        let mut command = bcreid();
        command.env_remove("LD_LIBRARY_PATH");
        command
    };
    missing(bare, &["driver: not found (libcuda.so.1)", "install the NVIDIA driver"], "driver: not found");
}

#[test]
fn a_library_is_missing() {
    let Some(stand_ins) = stand_ins() else { return };
    for (library, name, package) in
        [("cudnn", "cuDNN", "nvidia-cudnn-cu"), ("cublas", "cuBLAS", "nvidia-cublas")]
    {
        // SAFETY: the library is asked for nothing.
        if unsafe { libloading::Library::new(format!("lib{library}.so")) }.is_ok() {
            continue;
        }
        let rest = stand_ins.without(library).unwrap();
        let error = [
            &format!("{name}: not found (lib{library}"),
            "looked for on the loader's path",
            "pip install",
            package,
        ];
        missing(|| with(&rest), &error, &format!("{name}: not found"));
    }
}

#[test]
fn the_driver_is_too_old() {
    let Some(stand_ins) = stand_ins() else { return };
    let old = || {
        let mut command = with(stand_ins);
        command.env("SOFTCUDA_DRIVER_VERSION", "12040");
        command
    };
    missing(old, &["12.4", "driver", "install"], "driver");
}

#[test]
fn no_such_device() {
    let Some(stand_ins) = stand_ins() else { return };
    let none = || {
        let mut command = with(stand_ins);
        command.env("SOFTCUDA_DEVICES", "0");
        command
    };
    missing(none, &["driver: it sees no device", "nvidia-smi"], "driver: it sees no device");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = fail(wanting(&mut with(stand_ins), "cuda:3", &out));
    assert_says(&error, &["no CUDA device 3", "this machine has 1"]);
    let error = fail(wanting(&mut with(stand_ins), "gpu", &out));
    assert_says(&error, &["device gpu: unknown", "auto, cpu, cuda or cuda:N"]);
}

#[test]
fn bf16_on_a_gpu_needs_channels_in_eights() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = fail(wanting(&mut bcreid(), "cpu", &out).args(["--precision", "tf32"]));
    assert_says(&error, &["precision tf32 needs a CUDA device"]);
    let error = fail(&mut On::Gpu(stand_ins, "bf16").train(data(), &out, &["model.width=12"]));
    assert_says(&error, &["bf16", "model.width", "8", "12"]);
    let error = fail(&mut On::Gpu(stand_ins, "bf16").train(data(), &out, &["model.stem=12"]));
    assert_says(&error, &["bf16", "model.stem", "8", "12"]);
}

#[test]
fn memory_is_full_at_the_start() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let error = fail(f32(stand_ins).train(data(), &out, &[]).env("SOFTCUDA_MEMORY", (34 << 20).to_string()));
    assert_says(
        &error,
        &["memory is full", "no room for f32 [8, ", "MiB", "solver.batch", "--precision bf16"],
    );
}

/// In the middle: found by halving between an allocation of the start and none at all.
#[test]
fn memory_is_full_later() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let settings = &["solver.iterations=3", "solver.batch=4"];
    let calm = f32(stand_ins).trained(settings);
    let train = |out: &Path, allocations: usize| {
        let mut command = f32(stand_ins).train(data(), out, settings);
        command.env("SOFTCUDA_FAIL_ALLOC_AFTER", allocations.to_string());
        command
    };
    let out = |n: usize| folder.path().join(n.to_string());
    let first = |n: usize| out(n).join("checkpoints/step_0000000000.safetensors");
    // The fewest allocations with which the checkpoint is written: the next ones are of the first step.
    let (mut few, mut enough) = (0, 4096);
    while few + 1 < enough {
        let middle = (few + enough) / 2;
        // The steps behind the checkpoint need no result.
        let _ = train(&out(middle), middle).env("SOFTCUDA_IDLE", "1").output().unwrap();
        *(if first(middle).exists() { &mut enough } else { &mut few }) = middle;
    }
    let run = Run::of(|path| {
        let error = fail(&mut train(path, enough + 20));
        let checkpoint = path.join("checkpoints/step_0000000000.safetensors");
        assert_says(&error, &["memory is full", "no room for ", checkpoint.to_str().unwrap(), "--resume"]);
        assert!(losses(path).is_empty());
        f32(stand_ins).resume(data(), path)
    });
    assert!(run.bytes("weights.safetensors") == calm.bytes("weights.safetensors"));
}
