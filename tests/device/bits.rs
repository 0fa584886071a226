//! Bitwise equality of CUDA runs: with and without graph capture, repeated, in other thread orders, resumed, and with
//! the images in host or device memory.

use crate::support::{On, Run, data, drawn, f32, fail, losses, on_gpu, stand_ins, stderr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Fewer images than elsewhere, as it is not nearness that counts here.
pub const BATCH: &str = "solver.batch=4";

#[track_caller]
pub fn assert_same_bits(ours: &Run, theirs: &Run, what: &str) {
    for file in ["metrics.jsonl", "weights.safetensors"] {
        assert!(ours.bytes(file) == theirs.bytes(file), "{what}: {file} differs");
    }
}

/// Trains on `on`, with `change` made to the command.
#[track_caller]
pub fn trained(on: On, settings: &[&str], change: impl FnOnce(&mut Command)) -> Run {
    Run::of(|out| {
        let mut command = on.train(data(), out, settings);
        change(&mut command);
        command
    })
}

/// Starts `command`, waits until `out` holds at least `steps` lines of metrics, then asks it to stop.
pub fn stopped(mut command: Command, out: &Path, steps: usize) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..60_000 {
        if losses(out).len() >= steps {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

/// The random sampler: a step that asks the host for nothing. Another order of threads and the plain way at once.
#[test]
fn recording_and_the_order_of_threads_change_nothing() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let first = on.trained_once(&[BATCH]);
        assert_same_bits(&on.trained(&[BATCH]), first, "a second run");
        let plain = trained(on, &[BATCH], |command| {
            command.arg("--no-graph");
        });
        assert_same_bits(&plain, first, "--no-graph");
        let shuffled = trained(on, &[BATCH], |command| {
            command.env("SOFTCUDA_SEED", "17");
        });
        assert_same_bits(&shuffled, first, "another order of threads");
    }
}

/// The blocks of a cooperative launch, the rows that they keep in shared memory, and two launches instead of one: the
/// sums have one order on every chip.
#[test]
fn the_chip_changes_nothing() {
    let Some(stand_ins) = stand_ins().filter(|_| !on_gpu()) else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let first = on.trained_once(&[BATCH]);
        let chips = [("SOFTCUDA_MULTIPROCESSORS", "3"), ("SOFTCUDA_COOPERATIVE", "0")];
        for (variable, value) in chips {
            let other = trained(on, &[BATCH], |command| {
                command.env(variable, value);
            });
            assert_same_bits(&other, first, &format!("{precision}, {variable}={value}"));
        }
    }
}

/// Evaluations between recorded steps, with the images of the test part: the steps have the bits of a run without them.
#[test]
fn evaluations_do_not_disturb_recorded_steps() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let long = [BATCH, "solver.iterations=9"];
        let plain = on.trained(&long);
        let evaluated = on.trained(&[&long[..], &["run.eval_every=4", "run.eval_on=test"]].concat());
        assert!(
            plain.losses() == evaluated.losses() && plain.weights() == evaluated.weights(),
            "{precision}"
        );
        let lines = String::from_utf8(evaluated.bytes("validation.jsonl")).unwrap();
        assert!(lines.lines().count() == 2 && !lines.contains("fault"), "{lines}");
    }
}

/// A step with frozen layers is recorded, and another one when they are free; both move the average. Of four steps the
/// third one is recorded, and the fourth replays it.
#[test]
fn frozen_layers_and_averages_are_recorded() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let settings = [
            BATCH,
            "solver.iterations=8",
            "solver.optimizer=adam",
            "solver.lr=1e-5",
            "solver.ema=0.5",
            "solver.freeze=[\"conv1.*\", \"bn1.*\", \"layer1.*\"]",
            "solver.freeze_iterations=4",
            "solver.lr_factors={ \"*.bias\" = 2 }",
        ];
        let plain = trained(on, &settings, |command| {
            command.arg("--no-graph");
        });
        assert_same_bits(&on.trained(&settings), &plain, "--no-graph");
    }
}

/// Restraint and relaxation are recorded anew, with the weights that a decomposition on the host has left between them:
/// four steps before the first round, then restraint, relaxation and restraint again.
#[test]
fn rounds_of_decompositions_are_recorded() {
    let Some(stand_ins) = stand_ins() else { return };
    for precision in ["f32", "bf16"] {
        let on = On::Gpu(stand_ins, precision);
        let settings = [
            BATCH,
            "solver.iterations=16",
            "solver.optimizer=adam",
            "solver.lr=1e-5",
            "model.embedding=[16]",
            "model.embedding_bias=false",
            "solver.svd_lr=[1e-5, 1e-6]",
            "solver.svd_start=4",
            "solver.svd_restraint=4",
            "solver.svd_relaxation=4",
            "solver.svd_freeze=[\"conv1.*\", \"bn1.*\", \"layer1.*\"]",
        ];
        let plain = trained(on, &settings, |command| {
            command.arg("--no-graph");
        });
        assert_same_bits(&on.trained(&settings), &plain, "--no-graph");
    }
}

/// The order of an epoch, a few steps, is sent between steps to where the recorded step reads it.
#[test]
fn a_recorded_step_takes_new_epochs() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    drawn(&set, 2);
    let train = |out: &Path| {
        let settings = ["data.sampler=epochs", "solver.batch=8", "solver.iterations=10"];
        f32(stand_ins).train(&set, out, &settings)
    };
    let plain = Run::of(|out| {
        let mut command = train(out);
        command.arg("--no-graph");
        command
    });
    assert_same_bits(&Run::of(train), &plain, "--no-graph");
}

/// A recorded step draws the views, colours and rectangles of its own number, of images that stay on the device or are
/// sent.
#[test]
fn a_recorded_step_draws_its_own_augmentations() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    drawn(&set, 32);
    let settings =
        [BATCH, "data.resize=[72, 40]", "data.brightness=0.3", "data.contrast=0.2", "data.erase=0.7"];
    let trained = |change: fn(&mut Command)| {
        Run::of(|out| {
            let mut command = f32(stand_ins).train(&set, out, &settings);
            change(&mut command);
            command
        })
    };
    let first = trained(|_| ());
    let plain = trained(|command| {
        command.arg("--no-graph");
    });
    assert_same_bits(&plain, &first, "--no-graph");
    let shuffled = trained(|command| {
        command.env("SOFTCUDA_SEED", "17");
    });
    assert_same_bits(&shuffled, &first, "another order of threads");
    let sent = trained(|command| {
        command.env("SOFTCUDA_MEMORY", (36 << 20).to_string());
    });
    assert_same_bits(&sent, &first, "sent batches");
}

#[cfg(unix)]
#[test]
fn a_stop_leaves_no_trace() {
    let Some(stand_ins) = stand_ins() else { return };
    for (precision, other) in [("f32", "bf16"), ("bf16", "f32")] {
        let on = On::Gpu(stand_ins, precision);
        let settings = &[BATCH, "solver.iterations=10", "run.checkpoint_every=4", "data.sampler=epochs"];
        let calm = on.trained(settings);
        let stopped = Run::of(|out| {
            let output = stopped(on.train(data(), out, settings), out, 3);
            assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
            let told = String::from_utf8(output.stdout).unwrap();
            assert_eq!(told.contains("--precision"), precision != "f32", "{told}");
            let error = fail(&mut On::Gpu(stand_ins, other).resume(data(), out));
            assert!(error.contains(&format!("precision {precision}, not {other}")), "{error}");
            assert!(error.contains(&format!("--precision {precision}")), "{error}");
            on.resume(data(), out)
        });
        assert_same_bits(&stopped, &calm, "a stopped run");
    }
}

/// A set of 3 MiB does not fit on a device that has 36 MiB, of which 32 are cuBLAS's workspace: each batch crosses on
/// its own while the one before it is computed.
#[test]
fn sent_images_are_those_that_stay() {
    let Some(stand_ins) = stand_ins() else { return };
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    drawn(&set, 32);
    for settings in [["data.sampler=random", BATCH], ["data.sampler=epochs", BATCH]] {
        let train = |out: &Path| f32(stand_ins).train(&set, out, &settings);
        let resident = Run::of(train);
        let sent = Run::of(|out| {
            let mut command = train(out);
            command.env("SOFTCUDA_MEMORY", (36 << 20).to_string());
            command
        });
        assert_same_bits(&sent, &resident, "sent batches");
    }
}
