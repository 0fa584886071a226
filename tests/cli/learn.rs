//! `bcreid learn`: it runs the program `bcreid-learn` that lies beside it, and says how to build a missing one.

use super::support::{bcreid, succeed};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A copy of the program in `folder`, without anything on PATH.
fn copied(folder: &Path) -> Command {
    let copy = folder.join("bcreid");
    if !copy.exists() {
        fs::copy(env!("CARGO_BIN_EXE_bcreid"), &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command.args(["--threads", "1", "learn"]).env("PATH", folder.join("empty"));
    command
}

#[test]
fn arguments_and_status_pass_through() {
    let folder = tempfile::tempdir().unwrap();
    let missing = copied(folder.path()).output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    let error = String::from_utf8(missing.stderr).unwrap();
    assert!(
        error.contains("bcreid-learn") && error.contains("cargo build --release -p bcreid-learn"),
        "{error}"
    );

    let program = folder.path().join("bcreid-learn");
    fs::write(&program, "#!/bin/sh\necho \"$# $@\"\nexit 7\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = copied(folder.path()).args(["check", "4.2", "a b", "--limit", "3", "--help"]).output().unwrap();
    assert_eq!(run.status.code(), Some(7));
    assert_eq!(String::from_utf8(run.stdout).unwrap(), "6 check 4.2 a b --limit 3 --help\n");
    let run = copied(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap().trim(), "0");
}

#[test]
fn the_help_names_the_commands() {
    let help = succeed(bcreid().args(["learn", "--help"]));
    for command in ["learn start 1.1", "learn check 1.1", "learn solution 1.1", "-p bcreid-learn"] {
        assert!(help.split_whitespace().collect::<Vec<_>>().join(" ").contains(command), "{help}");
    }
    assert!(succeed(bcreid().arg("help")).contains("\n  learn "));
}
