//! Signals that ask the program to end: Ctrl-C, termination, and the hang-up of a lost connection.
//!
//! A command that can save its work stops after the current step at the first signal; a second one, at least half a
//! second later, ends the program at once, as the first does for any other command. Temporary files are removed before
//! the end. The exit status is 128 plus the signal's number, as a shell reports it.

use crate::files::remove_temporaries;
use crate::{Error, Result, tell};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time after the first signal in which further signals are ignored.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// The command that stops by itself after a signal.
static GRACEFUL: Mutex<Option<Graceful>> = Mutex::new(None);
/// The number of the first signal; 0 before it.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

#[derive(Debug)]
struct Graceful {
    flag: Arc<AtomicBool>,
    /// The message at the first signal; none if it is empty.
    promise: &'static str,
}

/// Starts to listen for signals. Call it once.
///
/// # Errors
/// If the system refuses the handlers or their thread.
pub fn listen() -> Result<()> {
    let refused = |e| Error::Device(format!("cannot listen for Ctrl-C: {e}"));
    let mut wanted = vec![SIGINT, SIGTERM];
    // nohup starts a program that ignores the hang-up, and it goes on.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted).map_err(refused)?;
    let work = move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                // timeout(1) and others signal the process and its group: two signals for one request.
                Some(first) if first.elapsed() < REPEAT_WINDOW => continue,
                Some(_) => end(signal),
                None => first = Some(Instant::now()),
            }
            SIGNAL.store(signal, Ordering::Relaxed);
            match &*GRACEFUL.lock().unwrap_or_else(PoisonError::into_inner) {
                None => end(signal),
                Some(Graceful { flag, promise }) => {
                    flag.store(true, Ordering::Relaxed);
                    if !promise.is_empty() {
                        // The terminal shows ^C in the line before.
                        tell!("");
                        tell!("{promise}; press Ctrl-C again to end at once");
                    }
                }
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(work).map_err(refused)?;
    Ok(())
}

/// Lets the first signal set the returned flag instead of ending the program. `promise` is the message printed then.
pub fn on_signal(promise: &'static str) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let graceful = Graceful { flag: flag.clone(), promise };
    *GRACEFUL.lock().unwrap_or_else(PoisonError::into_inner) = Some(graceful);
    flag
}

/// The exit status of a command that stopped after a signal: to this process, or to another rank, which is counted as a
/// termination.
pub fn exit_code() -> ExitCode {
    let signal = match SIGNAL.load(Ordering::Relaxed) {
        0 => SIGTERM,
        signal => signal,
    };
    ExitCode::from(status(signal))
}

fn status(signal: i32) -> u8 {
    128 + u8::try_from(signal).unwrap_or(0)
}

fn end(signal: i32) -> ! {
    remove_temporaries();
    std::process::exit(i32::from(status(signal)))
}

/// Whether the process was started with this signal ignored.
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, so the call changes nothing; it writes the present one into `action`, which lives
    // until after the call and is valid as zeros too.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}
