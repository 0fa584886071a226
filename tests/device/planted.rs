//! Planted errors between the program and the CUDA libraries: the libraries' checks or the losses detect each of them.

use crate::support::{On, apart, data, f32, losses, stand_ins, stderr};

#[derive(Debug)]
enum Noticed {
    /// The program ends with an error that the stand-ins explain.
    Refused(String),
    /// It ends well, its losses this far from the CPU's.
    Apart(f64),
}

/// At ten times the other tests' rate, so that a wrong gradient shows soon.
const SETTINGS: &[&str] = &["solver.iterations=5", "solver.lr=3e-4"];

fn planted(error: &str) -> Option<Noticed> {
    planted_with(error, SETTINGS)
}

fn planted_with(error: &str, settings: &[&str]) -> Option<Noticed> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut command = f32(stand_ins()?).train(data(), &out, settings);
    let output = command.env("SOFTCUDA_PLANT", error).output().unwrap();
    Some(if output.status.success() {
        Noticed::Apart(apart(&losses(&out), &On::Cpu.trained_once(settings).losses()))
    } else {
        Noticed::Refused(stderr(&output))
    })
}

#[track_caller]
fn refused(error: &str, why: &str) {
    is_refused(error, why, planted(error));
}

#[track_caller]
fn is_refused(error: &str, why: &str, noticed: Option<Noticed>) {
    match noticed {
        None => {}
        Some(Noticed::Refused(said)) => assert!(said.contains(why), "{error}: {said}"),
        Some(other) => panic!("{error}: {other:?}"),
    }
}

#[track_caller]
fn apart_from_the_cpu(error: &str) {
    match planted(error) {
        None => {}
        Some(Noticed::Apart(apart)) => assert!(apart > 1e-4, "{error}: {apart:.1e}"),
        Some(other) => panic!("{error}: {other:?}"),
    }
}

/// What is compared with: the same training without an error.
#[test]
fn nothing() {
    match planted("") {
        None => {}
        Some(Noticed::Apart(apart)) => assert!(apart < 1e-4, "{apart:.1e}"),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_swapped_stride() {
    refused("swapped-stride", "its strides are wrong");
}

#[test]
fn a_lost_accumulate() {
    apart_from_the_cpu("lost-accumulate");
}

#[test]
fn a_small_workspace() {
    refused("small-workspace", "is less than the");
}

#[test]
fn memory_that_is_freed_early() {
    refused("freed-early", "freed");
}

/// In plain steps, which come first, and in the graph of a captured one alone. There the average of the weights is the
/// only work of the main stream that reads a result of the second one.
#[test]
fn a_missing_event_between_the_streams() {
    let averaged = [SETTINGS, &["solver.ema=0.5"]].concat();
    for error in ["missing-fork", "missing-join", "graph-missing-fork", "graph-missing-join"] {
        is_refused(error, "race between streams: ", planted_with(error, &averaged));
    }
}

/// As if memory that the second stream uses were given out too early.
#[test]
fn an_event_that_is_recorded_too_early() {
    refused("early-event", "race between streams: ");
}

#[test]
fn a_missing_wait() {
    // Fresh pinned memory of the stand-ins is NaN.
    refused("missing-wait", "NaN");
}
