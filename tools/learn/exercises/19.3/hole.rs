use bcreid::autograd::{Tape, Var};

/// The softmax of each row of an f32 matrix `[rows, columns]` on the CPU.
///
/// # Errors
/// Anything but a matrix.
pub fn softmax(tape: &mut Tape<'_>, x: Var) -> bcreid::Result<Var> {
    let _ = tape;
    todo!("an output of shape {}, and a node on the tape", x.shape())
}
