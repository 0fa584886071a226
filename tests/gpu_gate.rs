//! The gate for a GPU, `tools/gpu-gate.sh`: its own tests, in which scripts take the places of the program and of the
//! test programs.
#![cfg(unix)]

use std::process::Command;

#[test]
fn the_gate_keeps_its_evidence() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gpu_gate_test.py");
    let Ok(output) = Command::new("python3").args(["-B", tests]).output() else {
        return eprintln!("skipped: no python3");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("Ran 13 tests"), "{said}");
}
