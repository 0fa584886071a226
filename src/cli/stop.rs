//! Ctrl-C: the first asks for a stop after the current step, the second ends the program at once.

use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status of a program ended by the interrupt signal.
pub const INTERRUPTED: u8 = 130;

/// Installs the handler and returns the flag it sets.
///
/// # Errors
/// If the system refuses the handler.
pub fn on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("\nfinishing this step and saving; once more ends at once without saving");
    })
    .map_err(|e| Error::Device(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok(stop)
}
