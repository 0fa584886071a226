//! Observers of a run: progress bars, curves for other programs. The solver knows none of them.

use crate::Result;
use crate::run::metrics::StepMetrics;
use crate::run::validation::Validation;

/// A part of the program that follows a run. Every method has a default that ignores the event.
pub trait Observer {
    /// `done` steps have been issued. A GPU may still work on the last of them.
    fn issued(&mut self, done: u64) {
        let _ = done;
    }

    /// The values of a step have arrived. Called once for each step, in their order, after the step's line was added to
    /// `metrics.jsonl`.
    ///
    /// # Errors
    /// Ends the run.
    fn measured(&mut self, step: &StepMetrics) -> Result<()> {
        let _ = step;
        Ok(())
    }

    /// All values that have arrived were handed over; `newest` is the last of them. The log was flushed to the
    /// operating system.
    ///
    /// # Errors
    /// Ends the run.
    fn caught_up(&mut self, newest: &StepMetrics) -> Result<()> {
        let _ = newest;
        Ok(())
    }

    /// The checkpoint after `done` steps is on the disk.
    fn saved(&mut self, done: u64) {
        let _ = done;
    }

    /// The network was evaluated; `is_best` says that no evaluation before had such a mAP.
    ///
    /// # Errors
    /// Ends the run.
    fn validated(&mut self, validation: &Validation, is_best: bool) -> Result<()> {
        let _ = (validation, is_best);
        Ok(())
    }

    /// A warning or a note for the person.
    fn note(&mut self, message: &str) {
        let _ = message;
    }

    /// The run has ended, finished or interrupted, without an error.
    fn ended(&mut self) {}
}

/// The observers of one run, called in the order in which they were added.
#[derive(Default)]
pub struct Observers<'a>(Vec<Box<dyn Observer + 'a>>);

impl<'a> Observers<'a> {
    /// No observer: a silent run.
    pub fn none() -> Self {
        Observers::default()
    }

    /// These and one more.
    pub fn with(mut self, observer: impl Observer + 'a) -> Self {
        self.0.push(Box::new(observer));
        self
    }
}

impl Observer for Observers<'_> {
    fn issued(&mut self, done: u64) {
        self.0.iter_mut().for_each(|observer| observer.issued(done));
    }

    fn measured(&mut self, step: &StepMetrics) -> Result<()> {
        self.0.iter_mut().try_for_each(|observer| observer.measured(step))
    }

    fn caught_up(&mut self, newest: &StepMetrics) -> Result<()> {
        self.0.iter_mut().try_for_each(|observer| observer.caught_up(newest))
    }

    fn saved(&mut self, done: u64) {
        self.0.iter_mut().for_each(|observer| observer.saved(done));
    }

    fn validated(&mut self, validation: &Validation, is_best: bool) -> Result<()> {
        self.0.iter_mut().try_for_each(|observer| observer.validated(validation, is_best))
    }

    fn note(&mut self, message: &str) {
        self.0.iter_mut().for_each(|observer| observer.note(message));
    }

    fn ended(&mut self) {
        self.0.iter_mut().for_each(|observer| observer.ended());
    }
}
