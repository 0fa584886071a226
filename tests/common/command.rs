//! Calls of the program that must succeed, or fail with a one-line error.

use std::process::{Command, Output};

/// Runs to success and returns what it printed.
#[track_caller]
pub fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to an error and returns its last line, having checked that it is one line and no panic.
#[track_caller]
pub fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    let error = text.lines().rfind(|line| line.starts_with("bcreid: "));
    let error = error.unwrap_or_else(|| panic!("no error line in:\n{text}"));
    assert_eq!(text.lines().last(), Some(error), "the error is more than one line:\n{text}");
    error.to_string()
}

/// The command with limits on its memory and its processor time, which end it: an input of a few bytes must not take
/// more. The memory is that of the heap and of stacks, which the system counts before it is touched.
#[cfg(target_os = "linux")]
#[allow(dead_code, reason = "not all tests have hostile input")]
pub fn limited(command: &Command) -> Command {
    const KIB: usize = 300 << 10;
    const SECONDS: usize = 2;
    let mut limited = Command::new("sh");
    limited.arg("-c").arg(format!("ulimit -d {KIB} && ulimit -t {SECONDS} && exec \"$0\" \"$@\""));
    limited.arg(command.get_program()).args(command.get_args());
    limited
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
