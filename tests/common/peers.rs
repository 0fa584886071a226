//! The Python environment of other people's programs.
//!
//! `tools/get-peers.sh` makes it; `BCREID_PEERS_PYTHON` names the interpreter of another one. Without either the tests
//! that need it say so and pass; with `BCREID_REQUIRE_PEERS=1`, as in `.ci/run`, they fail instead.

use bcreid::files::hex;
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// The environment of the script, whose last act is to leave the stamp: the SHA-256 of the requirements.
const FETCHED: &str = "tools/peers/venv";
const STAMP: &str = "requirements.sha256";
const REQUIREMENTS: &str = "tools/peers/requirements.txt";

/// The interpreter, or a note that there is none.
pub fn python() -> Option<OsString> {
    if let Some(python) = std::env::var_os("BCREID_PEERS_PYTHON").filter(|python| !python.is_empty()) {
        return Some(python);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = root.join(FETCHED);
    let wanted = hex(&Sha256::digest(std::fs::read(root.join(REQUIREMENTS)).unwrap()));
    let why = match std::fs::read_to_string(fetched.join(STAMP)) {
        Ok(stamp) if stamp.starts_with(&wanted) => return Some(fetched.join("bin/python").into()),
        Ok(_) => "is of other requirements",
        Err(_) => "does not exist",
    };
    assert!(!required(), "BCREID_REQUIRE_PEERS=1, but {FETCHED} {why}; run tools/get-peers.sh");
    skip(&format!("{FETCHED} {why} (tools/get-peers.sh)"));
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
