//! Resuming: a run that is killed, interrupted or out of disk space gives the same result after --resume.

use crate::support::{bcreid, data, fail, interrupt, stderr, succeed, train};
use std::path::Path;
use std::process::Command;

fn resume(out: &Path) -> Command {
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(data()).arg("--out").arg(out).arg("--resume");
    command
}

const LONG: &[&str] = &["solver.iterations=150", "solver.lr_milestones=[60]", "run.checkpoint_every=7"];

#[cfg(unix)]
#[test]
fn five_kills_leave_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    // ANCHOR: kills
    let (calm, killed) = (folder.path().join("calm"), folder.path().join("killed"));
    succeed(&mut train(data(), &calm, LONG));
    interrupt(train(data(), &killed, LONG), &killed, 5, "-KILL");
    for steps in [19, 42, 77, 101] {
        interrupt(resume(&killed), &killed, steps, "-KILL");
    }
    assert!(!killed.join("weights.safetensors").exists(), "the last kill came too late");
    succeed(&mut resume(&killed));
    for file in ["weights.safetensors", "metrics.jsonl"] {
        let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
        assert!(read(&calm) == read(&killed), "{file} differs");
    }
    // ANCHOR_END: kills
    assert_eq!(names(&calm), names(&killed), "a temporary file was left");
}

#[test]
fn two_runs_agree_bit_for_bit_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let weights = |name: &str, threads: &str| {
        let out = folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bcreid"));
        command.args(["--threads", threads]).args(train(data(), &out, &[]).get_args().skip(2));
        succeed(&mut command);
        std::fs::read(out.join("weights.safetensors")).unwrap()
    };
    let one = weights("one", "1");
    assert!(one == weights("again", "1"), "two runs differ");
    for threads in ["2", "3", "8"] {
        assert!(one == weights(threads, threads), "{threads} threads differ from one");
    }
}

/// A run in bf16 is another one than in f32, the same on any number of threads and after a kill; one that began in f32
/// does not go on in bf16 without a word.
#[cfg(unix)]
#[test]
fn bf16_keeps_its_bits() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let in_bf16 = |mut command: Command, threads: &str| {
        let mut whole = Command::new(env!("CARGO_BIN_EXE_bcreid"));
        whole.args(["--threads", threads]).args(command.args(["--precision", "bf16"]).get_args().skip(2));
        whole
    };
    let weights = |name: &str| std::fs::read(at(name).join("weights.safetensors")).unwrap();
    let more = &["run.checkpoint_every=4"];
    let said = stderr(&in_bf16(train(data(), &at("one"), more), "1").output().unwrap());
    assert!(said.contains("activations in bf16"), "{said}");
    succeed(&mut train(data(), &at("exact"), more));
    assert!(weights("one") != weights("exact"), "f32 has the bits of bf16");
    interrupt(in_bf16(train(data(), &at("killed"), more), "3"), &at("killed"), 5, "-KILL");
    let refused = fail(&mut resume(&at("killed")));
    assert!(refused.contains("precision bf16, not f32"), "{refused}");
    succeed(&mut in_bf16(resume(&at("killed")), "2"));
    assert!(weights("one") == weights("killed"), "a kill or three threads left a trace");
}

/// What is said on the way is no reason to lose the work.
#[cfg(target_os = "linux")]
#[test]
fn nobody_listens_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert!(train(data(), &out, &[]).stderr(full).status().unwrap().success());
    assert!(out.join("weights.safetensors").is_file());
}

/// A limit on file size stands for the full disk: the write of the checkpoint fails half-way.
#[cfg(unix)]
#[test]
fn a_checkpoint_that_cannot_be_written_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    interrupt(train(data(), &out, &["solver.iterations=5000"]), &out, 4, "-INT");
    let before: Vec<_> = names(&out);
    let resume = resume(&out);
    let line: Vec<String> = std::iter::once(resume.get_program())
        .chain(resume.get_args())
        .map(|a| format!("'{}'", a.to_str().unwrap()))
        .collect();
    let script = format!("trap '' XFSZ; ulimit -f 200; exec {}", line.join(" "));
    let error = fail(Command::new("bash").args(["-c", &script]));
    assert!(error.contains("last good checkpoint") && error.contains("--resume"), "{error}");
    assert_eq!(names(&out), before, "a half-written file stayed, or a good one went");
}

fn names(out: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(out.join("checkpoints")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_is_resumed_with_its_own_data_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    succeed(&mut train(data(), &out, &[]));
    let other = crate::support::own_data(folder.path());
    let some = std::fs::read_dir(other.join("bounding_box_train")).unwrap().next().unwrap().unwrap();
    std::fs::remove_file(some.path()).unwrap();
    let mut command = bcreid();
    command.arg("train").arg("--data").arg(&other).arg("--out").arg(&out).arg("--resume");
    let error = fail(&mut command);
    assert!(error.contains("belongs to another run or data set"), "{error}");
    // Of an identity fewer, the error names the identity, and not two long lists.
    let first = std::fs::read_dir(other.join("bounding_box_train")).unwrap().map(|e| e.unwrap().path());
    for image in first.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("0001_")) {
        std::fs::remove_file(image).unwrap();
    }
    let error = fail(&mut command);
    assert!(
        error.contains("6 identities in the checkpoint, 5 here; identity 1 is only in the checkpoint"),
        "{error}"
    );
    let output = resume(&out).args(["--set", "loss.batch_contrastive.weight=0"]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("cannot be used with"));
}

/// A rate at which everything overflows: the run stops, names the loss and leaves no poisoned checkpoint.
#[test]
fn a_loss_that_is_not_finite_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let wild = ["solver.lr=1e30", "solver.lr_warmup=0", "run.checkpoint_every=1"];
    let error = fail(&mut train(data(), &out, &wild));
    assert!(error.contains("checkpoint") && error.contains("solver.lr"), "{error}");
    for name in names(&out) {
        let file = bcreid::weights::read_tensors(&out.join("checkpoints").join(&name)).unwrap();
        for tensor in file.names() {
            let finite = file.tensor(tensor).unwrap().f32().unwrap().iter().all(|v| v.is_finite());
            assert!(finite, "{name} holds a {tensor} that is not finite");
        }
    }
}

/// The states of each optimiser are in the checkpoints by name, and a resumed run has the bits of one run.
#[cfg(unix)]
#[test]
fn every_optimiser_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, states) in [
        (&["solver.optimizer=sgd", "solver.nesterov=true"][..], &["momentum"][..]),
        (&["solver.optimizer=adam", "solver.beta1=0.5"], &["exp_avg", "exp_avg_sq"]),
        (&["solver.optimizer=amsgrad"], &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
        (&["solver.optimizer=adamw", "solver.schedule=cosine"], &["exp_avg", "exp_avg_sq"]),
    ] {
        let name = kind.join("+");
        let [calm, stopped] = ["calm", "stopped"].map(|run| folder.path().join(format!("{name}+{run}")));
        let common =
            ["solver.iterations=80", "solver.lr=3e-4", "solver.lr_milestones=[]", "run.checkpoint_every=7"];
        let settings = [kind, &common].concat();
        succeed(&mut train(data(), &calm, &settings));
        interrupt(train(data(), &stopped, &settings), &stopped, 11, "-KILL");
        assert!(!stopped.join("weights.safetensors").exists(), "{name}: the kill came too late");
        succeed(&mut resume(&stopped));
        for file in ["weights.safetensors", "metrics.jsonl"] {
            let read = |run: &Path| std::fs::read(run.join(file)).unwrap();
            assert!(read(&calm) == read(&stopped), "{name}: {file} differs");
        }
        let last = stopped.join("checkpoints").join(names(&stopped).pop().unwrap());
        let file = bcreid::weights::read_tensors(&last).unwrap();
        let mut found: Vec<_> = file.names().filter_map(|name| name.strip_suffix("/conv1.weight")).collect();
        found.sort();
        assert_eq!(found, states, "{name}");
    }
}

/// Another optimiser, or a new end of a schedule that falls until the end, is refused; the folder stays as it was.
#[test]
fn a_checkpoint_of_another_optimiser_or_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let cosine = ["solver.schedule=cosine", "solver.lr_milestones=[]"];
    succeed(&mut train(data(), &out, &cosine));
    let config = std::fs::read_to_string(out.join("config.toml")).unwrap();
    let error = fail(resume(&out).args(["--iterations", "500"]));
    assert!(error.contains("solver.iterations is 500 here") && !error.contains('\n'), "{error}");
    assert_eq!(std::fs::read_to_string(out.join("config.toml")).unwrap(), config);
    let other = config.replace("optimizer = \"sgd\"", "optimizer = \"adam\"");
    assert_ne!(other, config);
    std::fs::write(out.join("config.toml"), other).unwrap();
    let error = fail(&mut resume(&out));
    assert!(error.contains("solver.optimizer is \"adam\" here and \"sgd\" there"), "{error}");
    // A run of a version without these settings has their defaults.
    let older: String =
        config.lines().filter(|line| !line.starts_with("optimizer")).collect::<Vec<_>>().join("\n");
    std::fs::write(out.join("config.toml"), older).unwrap();
    succeed(&mut resume(&out));
}

/// Settings that the optimiser or the schedule does not read are told before the first step.
#[test]
fn settings_without_effect_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = train(data(), &out, &["solver.beta1=0.5", "solver.lr_flat=2"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for key in ["solver.beta1 = 0.5", "solver.lr_flat = 2"] {
        assert!(stderr(&output).contains(&format!("{key} has no effect")), "{key}: {}", stderr(&output));
    }
    let refused = fail(&mut train(
        data(),
        &folder.path().join("b"),
        &["solver.optimizer=adam", "solver.nesterov=true"],
    ));
    assert!(refused.contains("need solver.optimizer = sgd"), "{refused}");
}

/// The event file of a resumed run is a new one: who has added evaluations to the old one is told how to add them again.
#[test]
fn evaluations_for_tensorboard_are_not_lost_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    succeed(&mut train(data(), &out, &[]));
    let more = |iterations: &str| {
        let output = resume(&out).args(["--iterations", iterations]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let lost = "without 1 stored evaluation; add them after the training with: bcreid tensorboard ";
    succeed(bcreid().arg("tensorboard").arg(&out));
    assert!(!more("14").contains("stored evaluation"));
    succeed(bcreid().arg("eval").arg("--run").arg(&out).arg("--data").arg(data()));
    succeed(bcreid().arg("tensorboard").arg(&out));
    assert!(more("16").contains(lost));
    std::fs::remove_dir_all(out.join("tensorboard")).unwrap();
    assert!(!more("18").contains(lost));
}
