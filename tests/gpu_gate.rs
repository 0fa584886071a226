//! The gate for a GPU, `tools/gpu-gate.sh`: its own tests, in which scripts take the places of the program and of the
//! test programs. In one of them the program computes on the CPU what the checks ask of it.
#![cfg(unix)]

use std::process::Command;

#[test]
fn the_gate_keeps_its_evidence() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/gpu_gate_test.py");
    let mut command = Command::new("python3");
    command.args(["-B", "-W", "ignore", tests]).env("BCREID", env!("CARGO_BIN_EXE_bcreid"));
    let Ok(output) = command.output() else {
        return eprintln!("skipped: no python3");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let count = std::fs::read_to_string(tests).unwrap().matches("    def test_").count();
    assert!(output.status.success() && said.contains(&format!("Ran {count} tests")), "{said}");
}
