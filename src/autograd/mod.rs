//! Reverse-mode automatic differentiation: the [`Tape`] records the operations of a step, [`Sinks`] accumulate their
//! gradients, [`Params`] hold the parameters and buffers of a model across steps.
//!
//! Book: [chapter 3](../../../../docs/book/src/03-tape.md), [chapter 4](../../../../docs/book/src/04-fan-out.md).

mod compute_copy;
mod flat_params;
mod init;
mod param;
mod params;
mod sinks;
mod step_values;
mod tape;

pub(crate) use flat_params::{FlatParams, FlatSection, Place};
pub use init::Init;
pub use param::Param;
use param::ParamSpec;
pub use params::{Buffer, BufferId, ParamId, ParamSpecs, Params};
pub use sinks::Sinks;
pub use step_values::StepValues;
pub use tape::{Backward, Gradients, Handle, Tape, Var};
