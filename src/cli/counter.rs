//! Progress of a count on standard error: a bar on a terminal, otherwise a line every ten seconds.

use crate::console::{Verbosity, is_at_least};
use crate::{detail, note};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Interval of the progress lines where standard error shows no bar.
pub const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether standard error shows a bar: on a terminal that moves its cursor, so not `TERM=dumb`, and without --quiet.
pub fn shows_bars() -> bool {
    is_at_least(Verbosity::Normal)
        && std::io::stderr().is_terminal()
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A bar on a terminal that can show one; hidden elsewhere.
pub fn target() -> ProgressDrawTarget {
    if shows_bars() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// The progress of a count.
#[derive(Debug)]
pub struct Counter {
    what: &'static str,
    /// `None` where no bar can be shown.
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Mutex<Instant>,
}

impl Counter {
    /// The progress of the activity `what`.
    pub fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:24} {pos}/{len} {eta} left");
        let style = style.expect("the template is a constant");
        let bar = shows_bars().then(|| ProgressBar::no_length().with_style(style).with_message(what));
        let started = Instant::now();
        Counter { what, bar, started, last_line: Mutex::new(started) }
    }

    /// Shows that `done` of `total` are finished; any thread may call it.
    pub fn advance(&self, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            bar.set_length(total as u64);
            bar.set_position(done as u64);
            return;
        }
        let mut last_line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last_line.elapsed() >= LINE_INTERVAL {
            *last_line = Instant::now();
            let left =
                self.started.elapsed().as_secs_f64() / done.max(1) as f64 * total.saturating_sub(done) as f64;
            note!("{} {done}/{total}, {} left", self.what, clock(Duration::from_secs_f64(left)));
        }
    }

    /// Ends the count, as a drop does, where this value would outlive its activity: other messages or work follow.
    pub fn finish(self) {}
}

/// Removes the bar from the screen; with --verbose the time is told.
impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.iter().for_each(ProgressBar::finish_and_clear);
        detail!("{}: {:.1} s", self.what, self.started.elapsed().as_secs_f64());
    }
}

/// A duration as `1:02:03` or `2:03`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if h > 0 { format!("{h}:{m:02}:{s:02}") } else { format!("{m}:{s:02}") }
}
