//! Calls of the program on hostile files: one line of error, with little memory and time.

use std::io::Read;
use std::process::{Command, Stdio};

/// Most memory of a call that refuses a file, in bytes.
pub const MEMORY: u64 = 300_000_000;
/// Most time of such a call, in seconds.
pub const SECONDS: f64 = 2.0;

/// Runs the program to an error, as [`super::fail`], and returns the error's line, having checked peak memory (resident,
/// mapped files included) and processor time.
#[track_caller]
pub fn fail_within_limits(command: &mut Command) -> String {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    let (status, memory, seconds) = wait(child);
    assert_eq!(status, Some(1), "{command:?}\n{text}");
    assert!(!text.contains("panicked"), "{text}");
    let error = text.lines().rfind(|line| line.starts_with("bcreid: "));
    let error = error.unwrap_or_else(|| panic!("no error line in:\n{text}"));
    assert_eq!(text.lines().last(), Some(error), "the error is more than one line:\n{text}");
    assert!(memory < MEMORY, "{} MB for: {error}", memory / 1_000_000);
    assert!(seconds < SECONDS, "{seconds} s for: {error}");
    println!("{} MB, {seconds:.2} s: {error}", memory / 1_000_000);
    error.to_string()
}

/// The peak counts from the start of the child, which shares this process's memory: a test program that measures must be
/// small itself.
///
/// Waits for the end; exit code, peak memory in bytes, and processor time in seconds, which other processes of the
/// machine do not lengthen.
#[cfg(target_os = "linux")]
fn wait(child: std::process::Child) -> (Option<i32>, u64, f64) {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to live variables of the types that wait4 fills; a zeroed rusage is valid. The child is
    // waited for only here.
    let usage = unsafe {
        let waited = libc::wait4(child.id() as libc::pid_t, &mut status, 0, usage.as_mut_ptr());
        assert_eq!(waited, child.id() as libc::pid_t);
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    (code, usage.ru_maxrss as u64 * 1024, seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// Only the exit code is known elsewhere.
#[cfg(not(target_os = "linux"))]
fn wait(mut child: std::process::Child) -> (Option<i32>, u64, f64) {
    (child.wait().unwrap().code(), 0, 0.0)
}
