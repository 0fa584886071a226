//! Ctrl-C and the termination signal: the first asks for a stop after the current step, another one, half a second
//! later or more, ends the program at once. A hang-up is left alone, so that `nohup` works.

use crate::{Error, Result, tell};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Exit status of a program ended by the interrupt signal.
pub const INTERRUPTED: u8 = 130;

/// Signals within this time are one.
const ONE_WISH: Duration = Duration::from_millis(500);

/// Listens for signals and returns the flag that the first one sets. `promise` tells what happens then.
///
/// # Errors
/// If the system refuses.
pub fn on_interrupt(promise: &'static str) -> Result<Arc<AtomicBool>> {
    let refused = |e| Error::Device(format!("cannot listen for Ctrl-C: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(refused)?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let listen = move || {
        let mut first: Option<Instant> = None;
        for _ in signals.forever() {
            match first {
                // timeout(1) and others signal the process and its group: one wish, two signals.
                Some(first) if first.elapsed() < ONE_WISH => continue,
                Some(_) => std::process::exit(i32::from(INTERRUPTED)),
                None => first = Some(Instant::now()),
            }
            flag.store(true, Ordering::Relaxed);
            tell!("\n{promise}; once more ends at once");
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
    Ok(stop)
}
