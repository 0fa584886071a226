//! The rows of all ranks: the features of the whole batch, on each rank.
//!
//! Rank r of N has the rows \[r m, (r + 1) m) of a batch of N m images. The output has all N m rows. Each rank computes the
//! losses of the whole batch from them, with the same bits, and so the gradient dL/dy of all rows. The gradient of its own
//! rows is a part of it: the backward pass exchanges nothing.
//!
//! A rank thus repeats the work of the others in what follows: of N m images the losses take (N m)^2 D operations, which is
//! small against the network up to about a thousand images. Parameters behind a gather have equal gradients on all ranks,
//! and the sum over the ranks must count them once: see [`crate::autograd::Tape::param_of_all`].
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use crate::Result;
use crate::autograd::{Backward, Sinks, Tape, Var};
use crate::element::DType;
use crate::ops::check;
use crate::ranks::Group;
use crate::tensor::Tensor;

const OP: &str = "gather";

/// Computes y `[N m, D]` from x `[m, D]`, f32, of N ranks. With one rank y is `x` itself.
///
/// # Errors
/// If x is no matrix of f32; a rank that fails.
pub fn gather(tape: &mut Tape<'_>, x: Var) -> Result<Var> {
    let group = tape.device().group();
    if group.ranks() == 1 {
        return Ok(x);
    }
    let [m, d] = check::matrix(OP, "x", &x.value)?;
    check::f32s(OP, [("x", &x.value)])?;
    // ANCHOR: forward
    let mut y = Tensor::empty(&tape.device(), [group.ranks() * m, d], DType::F32)?;
    group.gather("the features of all ranks", x.value.f32(), y.f32_mut())?;
    Ok(tape.record(y, &[x.handle()], |_| GatherBackward { group, rows: m }))
    // ANCHOR_END: forward
}

struct GatherBackward {
    group: Group,
    /// m: the rows of each rank.
    rows: usize,
}

impl Backward for GatherBackward {
    fn op(&self) -> &'static str {
        OP
    }

    /// dx are the rows of this rank in dy.
    fn backward(self: Box<Self>, dy: Tensor, sinks: &mut Sinks<'_>) -> Result<()> {
        // ANCHOR: backward
        let own = self.rows * dy.shape().last();
        let first = self.group.share().rank * own;
        sinks.add(0, |dx, mode| {
            mode.store(dx.f32_mut(), dy.f32()[first..first + own].iter().copied());
            Ok(())
        })
        // ANCHOR_END: backward
    }
}
