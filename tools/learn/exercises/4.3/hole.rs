use bcreid::autograd::{Tape, Var};

/// An operation with one input, whose output has the shape of the input.
pub type Op = dyn Fn(&mut Tape<'_>, Var) -> bcreid::Result<Var>;

/// Whether the operation adds its gradient when another use of its input has written before. examples/book/fan_out.rs
/// shows how to make a tape, run an operation, and read a gradient.
pub fn keeps_mode(op: &Op) -> bcreid::Result<bool> {
    let _ = op;
    todo!("use one input twice, and compare with the gradient of one use")
}
