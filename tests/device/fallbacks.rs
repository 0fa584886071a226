//! Fallbacks: refusals of the libraries after which a run continues with the same losses.

use crate::support::{On, apart, data, f32, losses, stand_ins, stderr};

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
    let apart = apart(&losses(&out), &On::Cpu.trained(SETTINGS).losses());
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
fn a_step_that_cannot_be_recorded() {
    if let Some(said) = survived("refused-capture") {
        let lines = said.lines().filter(|line| line.starts_with("steps run plainly")).count();
        assert_eq!(lines, 1, "{said}");
    }
}
