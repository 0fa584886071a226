//! Progress of a training run on standard error: a bar on a terminal, otherwise a line every ten seconds.

use super::counter::{self, LINE_INTERVAL, clock};
use crate::console::{Verbosity, is_at_least};
use crate::error::printable;
use crate::run::metrics::StepMetrics;
use crate::run::validation::Validation;
use crate::train::{Observer, Observers, Trainer};
use crate::{Result, note, tell};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// The progress display of a training run.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    batch: usize,
    /// The reduction of the batch and center losses, `sum` or `mean`.
    reduction: &'static str,
    total: u64,
    first: u64,
    started: Instant,
    last_line: Instant,
    /// Whether the time of the whole run was estimated.
    estimated: bool,
    on_cpu: bool,
}

/// Time after which the pace is known well enough for an estimate of the whole run.
const SETTLED: Duration = Duration::from_secs(10);
/// A run that takes longer on the CPU gets a note.
const LONG: Duration = Duration::from_secs(3600);

impl Progress {
    /// The progress display of a run, with the prefix `label`.
    pub fn new(label: &str, trainer: &Trainer) -> Self {
        let (first, config) = (trainer.first(), trainer.config());
        let (total, batch) = (config.solver.iterations, config.solver.batch);
        let reduction = config.loss.batch_contrastive.reduction.name();
        let terminal = counter::shows_bars();
        let bar = ProgressBar::with_draw_target(Some(total), counter::target());
        let style = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}")
            .expect("the template is a constant");
        bar.set_style(style);
        bar.set_prefix(label.to_string());
        bar.set_position(first);
        let now = Instant::now();
        let on_cpu = trainer.is_on_cpu();
        Progress {
            bar,
            terminal,
            batch,
            reduction,
            total,
            first,
            started: now,
            last_line: now,
            estimated: false,
            on_cpu,
        }
    }

    fn show(&mut self, step: &StepMetrics) {
        let done = step.step + 1;
        // All are there: these metrics were measured, not read.
        let shown = |value: Option<f32>| value.unwrap_or(f32::NAN);
        let seconds = self.started.elapsed().as_secs_f64().max(1e-9);
        let pace = (done - self.first) as f64 / seconds;
        let left = Duration::from_secs_f64(((self.total - done) as f64 / pace.max(1e-9)).min(1e9));
        let others: String =
            step.metric_losses().map(|(name, value)| format!("; {name} {value:.3}")).collect();
        let message = format!(
            "loss {:.3} (softmax {:.3}; {}s of batch {:.3}, center {:.3}{others}), rate {:.1e}, {:.0} images/s, {} left",
            shown(step.loss),
            shown(step.softmax),
            self.reduction,
            shown(step.batch()),
            shown(step.center),
            shown(step.rate),
            pace * self.batch as f64,
            clock(left),
        );
        if self.on_cpu && !self.estimated && self.started.elapsed() >= SETTLED {
            self.estimated = true;
            if left > LONG && is_at_least(Verbosity::Normal) {
                self.note(&format!(
                    "at this pace the run takes {} more on this CPU; Ctrl-C saves it at any step, and --resume continues it",
                    rough(left)
                ));
            }
        }
        if self.terminal {
            self.bar.set_message(message);
        } else if self.last_line.elapsed() >= LINE_INTERVAL || done == self.total {
            self.last_line = Instant::now();
            note!("{} {done}/{} {message}", self.bar.prefix(), self.total);
        }
    }
}

/// The observers of a run: the progress display alone.
pub fn bar(label: &str, trainer: &Trainer) -> Observers<'static> {
    Observers::none().with(Progress::new(label, trainer))
}

/// A long time in words: `31 h`, `12 days`.
fn rough(time: Duration) -> String {
    let hours = time.as_secs_f64() / 3600.0;
    match hours {
        ..48.0 => format!("{hours:.0} h"),
        _ => format!("{:.0} days", hours / 24.0),
    }
}

impl Observer for Progress {
    fn issued(&mut self, done: u64) {
        self.bar.set_position(done);
    }

    fn caught_up(&mut self, newest: &StepMetrics) -> Result<()> {
        self.show(newest);
        Ok(())
    }

    fn saved(&mut self, done: u64) {
        if is_at_least(Verbosity::Verbose) {
            self.note(&format!("checkpoint saved after {done} iterations"));
        }
    }

    fn validated(&mut self, validation: &Validation, is_best: bool) -> Result<()> {
        if is_at_least(Verbosity::Normal) {
            let best = if is_best { ", the best so far" } else { "" };
            let figures = validation.in_words();
            self.note(&format!("evaluation after {} iterations: {figures}{best}", validation.iterations));
        }
        Ok(())
    }

    /// Prints a message above the bar.
    fn note(&mut self, message: &str) {
        if self.terminal {
            self.bar.println(printable(message));
        } else {
            tell!("{message}");
        }
    }

    /// Leaves the bar on the screen in its last state.
    fn ended(&mut self) {
        self.bar.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_are_rounded() {
        let hours = |hours: u64| rough(Duration::from_secs(3600 * hours + 600));
        assert_eq!([hours(2), hours(31), hours(100)], ["2 h", "31 h", "4 days"]);
    }
}
