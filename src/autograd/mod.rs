//! Reverse-mode differentiation: the [`Tape`] records a step's operations, [`Sinks`] take their gradients, [`Params`] outlive
//! the step.

mod flat_params;
mod init;
mod param;
mod params;
mod sinks;
mod step_values;
mod tape;

pub(crate) use flat_params::{FlatGroup, FlatParams};
pub use init::Init;
pub use param::Param;
use param::ParamSpec;
pub use params::{Buffer, BufferId, ParamId, ParamSpecs, Params};
pub use sinks::Sinks;
pub use step_values::StepValues;
pub use tape::{Backward, Gradients, Handle, Tape, Var};
