//! Training: [`step`] is one iteration, [`step_runner`] runs or replays it, [`solver`] is the loop around it.
//! [`batches`] takes the loader's options from the settings, [`groups`] gives parameters factors by their names,
//! [`rounds`] places the steps of SVDNet in its stages, whose [`decomposition`] lies between two steps,
//! [`schedule`] computes the learning rates and loss weights of each step, `validator` evaluates the network between
//! steps, and an [`Observer`] follows a run. [`crate::run`] reads and writes the files of a run. With several ranks
//! `agreement` compares them, `gradient_sum` adds their gradients, and `running_statistics` averages what each rank has of its own.
//!
//! Book: [chapter 1](../../../../docs/book/src/01-one-step.md).

pub(crate) mod agreement;
pub mod batches;
pub mod decomposition;
mod gradient_sum;
pub mod groups;
pub mod observer;
mod recorder;
pub mod rounds;
mod running_statistics;
pub mod schedule;
pub mod solver;
pub mod step;
pub mod step_runner;
mod validator;

pub use observer::{Observer, Observers};
pub use solver::{Outcome, Start, Trainer};

/// Makes the observers of each of several runs, from the run's label.
pub type Observe<'a> = &'a dyn Fn(&str, &Trainer) -> Observers<'static>;
