//! The Python environment of other people's programs.
//!
//! `tools/get-peers.sh` makes it; `BCREID_PEERS_PYTHON` names the interpreter of another one. Without either the tests
//! that need it say so and pass; with `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, they fail instead.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// What the script makes; its last act is to leave the stamp.
const FETCHED: &str = "tools/peers/venv";
const STAMP: &str = "requirements.sha256";

/// The interpreter, or a note that there is none.
pub fn python() -> Option<OsString> {
    if let Some(python) = std::env::var_os("BCREID_PEERS_PYTHON").filter(|python| !python.is_empty()) {
        return Some(python);
    }
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join(FETCHED);
    if fetched.join(STAMP).exists() {
        return Some(fetched.join("bin/python").into());
    }
    assert!(!required(), "BCREID_REQUIRE_PEERS=1, but there is no {FETCHED}; run tools/get-peers.sh");
    skip("no Python with peers (tools/get-peers.sh)");
    None
}

/// Whether the interpreter has a module; a note if not.
#[allow(dead_code, reason = "not all tests ask")]
pub fn has(python: &OsStr, module: &str) -> bool {
    let found = Command::new(python).args(["-c", &format!("import {module}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        let python = python.to_string_lossy();
        assert!(!required(), "BCREID_REQUIRE_PEERS=1, but {python} has no {module}; run tools/get-peers.sh");
        skip(&format!("{python} has no {module} (tools/get-peers.sh)"));
    }
    found
}

fn required() -> bool {
    std::env::var_os("BCREID_REQUIRE_PEERS").is_some_and(|value| value == "1")
}

/// Written past the test's capture, which would hide it.
pub fn skip(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}
