//! A process with a limit of time, whose output is kept.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of the output that are kept; the rest is read and dropped.
const KEPT: usize = 64 << 10;

/// How a process ended.
pub struct Ended {
    /// Its status; none if the time was over and it was killed.
    pub status: Option<ExitStatus>,
    /// Standard output and standard error.
    pub output: String,
}

/// Runs a command to its end, or to the end of the time.
///
/// # Errors
/// It cannot be started.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Ended> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let out = child.stdout.take().map(|pipe| thread::spawn(move || kept(pipe)));
    let err = child.stderr.take().map(|pipe| thread::spawn(move || kept(pipe)));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            break None;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |reader: Option<thread::JoinHandle<Vec<u8>>>| {
        String::from_utf8_lossy(&reader.and_then(|reader| reader.join().ok()).unwrap_or_default())
            .into_owned()
    };
    Ok(Ended { status, output: text(out) + &text(err) })
}

fn kept(mut pipe: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut chunk) {
        let room = KEPT - bytes.len();
        bytes.extend_from_slice(&chunk[..count.min(room)]);
    }
    bytes
}
