//! `tools/get-cuda-headers.sh`: the tests of its program, which takes files out of wheels, with a package index on this
//! machine.
#![cfg(unix)]

use std::process::Command;

#[test]
fn files_are_taken_out_of_wheels() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/cuda_headers/fetch_test.py");
    let Ok(output) = Command::new("python3").args(["-B", "-W", "ignore", tests]).output() else {
        return eprintln!("skipped: no python3");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let count = std::fs::read_to_string(tests).unwrap().matches("    def test_").count();
    assert!(output.status.success() && said.contains(&format!("Ran {count} tests")), "{said}");
    if said.contains("skipped=") {
        eprintln!("skipped: python3 has no pip");
    }
}
