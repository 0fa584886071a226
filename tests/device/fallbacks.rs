//! Fallbacks: refusals of the libraries after which a run continues with the same losses.

use crate::bits::{BATCH, assert_same_bits, stopped, trained};
use crate::support::{On, Run, apart, data, f32, losses, stand_ins, stderr};
use std::process::Command;

const SETTINGS: &[&str] = &["solver.iterations=5"];

/// What a training says under a refusal, after which its losses are the CPU's.
#[track_caller]
fn survived(refusal: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = f32(stand_ins()?).train(data(), &out, SETTINGS);
    let output = command.env("SOFTCUDA_PLANT", refusal).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    let apart = apart(&losses(&out), &On::Cpu.trained_once(SETTINGS).losses());
    assert!(apart < 1e-4, "{apart:.1e}");
    Some(said)
}

#[test]
fn an_algorithm_that_is_offered_and_not_done() {
    if let Some(said) = survived("broken-promise") {
        assert!(said.contains("algorithm 0 is offered and not done"), "{said}");
    }
}

#[test]
fn an_algorithm_that_fails_when_it_runs() {
    if let Some(said) = survived("failed-execution") {
        assert!(said.contains("is offered and fails when it runs"), "{said}");
    }
}

#[test]
fn an_algorithm_that_cannot_accumulate() {
    if let Some(said) = survived("refused-accumulate") {
        assert!(said.contains("does not add to the result"), "{said}");
    }
}

#[test]
fn algorithms_of_another_math_type() {
    survived("other-math");
}

/// Images have 3 channels.
#[test]
fn algorithms_for_channels_in_fours_alone() {
    survived("channels-in-fours");
}

/// The algorithms that cuDNN offers first do not add to a result: a resumed process makes the same choices before its
/// first step as the process that was stopped.
#[cfg(unix)]
#[test]
fn a_stop_leaves_no_trace_where_algorithms_are_refused() {
    let Some(stand_ins) = stand_ins() else { return };
    let on = f32(stand_ins);
    let settings = &[BATCH, "solver.iterations=10", "run.checkpoint_every=4"];
    let refuse = |command: &mut Command| {
        command.env("SOFTCUDA_PLANT", "refused-accumulate");
    };
    let calm = trained(on, settings, refuse);
    let stopped = Run::of(|out| {
        let mut command = on.train(data(), out, settings);
        refuse(&mut command);
        let output = stopped(command, out, 3);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let mut command = on.resume(data(), out);
        refuse(&mut command);
        command
    });
    assert_same_bits(&stopped, &calm, "a stopped run");
    assert!(
        calm.weights() != on.trained_once(settings).weights(),
        "the refusals change which algorithms run"
    );
}

#[test]
fn a_step_that_cannot_be_recorded() {
    if let Some(said) = survived("refused-capture") {
        let lines = said.lines().filter(|line| line.starts_with("steps run plainly")).count();
        assert_eq!(lines, 1, "{said}");
    }
}
