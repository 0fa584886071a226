//! Training: [`step`] is one iteration, [`stepper`] runs or replays it, [`solver`] is the loop around it; [`schedule`]
//! says what changes from step to step, [`checkpoint`] what survives a crash, [`metrics`] what is written down,
//! [`collapse`] what goes wrong quietly; an [`Observer`] follows a run.

pub mod checkpoint;
pub mod collapse;
pub mod metrics;
pub mod observer;
pub mod run_folder;
pub mod schedule;
pub mod solver;
pub mod step;
pub mod stepper;

pub use observer::{Observe, Observer, Observers};
pub use solver::{Outcome, Start, Trainer};
