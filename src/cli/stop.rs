//! Ctrl-C and the termination signal: the first signal stops the program after the current step, a second one, at
//! least half a second later, ends it at once. The hang-up signal is not handled, so that `nohup` works.

use crate::{Error, Result, tell};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit status of a program ended by the interrupt signal.
pub const INTERRUPTED: u8 = 130;

/// Time after the first signal in which further signals are ignored.
const REPEAT_WINDOW: Duration = Duration::from_millis(500);

/// Installs the signal handlers and returns the flag that the first signal sets. `promise` is the message printed
/// then.
///
/// # Errors
/// If the system refuses the handlers or their thread.
pub fn on_interrupt(promise: &'static str) -> Result<Arc<AtomicBool>> {
    let refused = |e| Error::Device(format!("cannot listen for Ctrl-C: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let listen = move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            match first {
                // timeout(1) and others signal the process and its group: two signals for one request.
                Some(first) if first.elapsed() < REPEAT_WINDOW => continue,
                Some(_) => std::process::exit(i32::from(INTERRUPTED)),
                None => first = Some(Instant::now()),
            }
            flag.store(true, Ordering::Relaxed);
            // The terminal shows ^C in the line before.
            tell!("");
            tell!("{promise}; press Ctrl-C again to end at once");
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(stop)
}
