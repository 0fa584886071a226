//! Training: [`step`] is one iteration, [`step_runner`] runs or replays it, [`solver`] is the loop around it; [`schedule`]
//! says what changes from step to step, [`collapse`] what goes wrong quietly; an [`Observer`] follows a run. Its files are
//! [`crate::run`]'s.

pub mod collapse;
pub mod observer;
pub mod schedule;
pub mod solver;
pub mod step;
pub mod step_runner;

pub use observer::{Observer, Observers};
pub use solver::{Outcome, Start, Trainer};

/// Makes the observers of each of several runs, from the run's label.
pub type Observe<'a> = &'a dyn Fn(&str, &Trainer) -> Observers<'static>;
