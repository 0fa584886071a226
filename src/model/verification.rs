//! Verification head (Zheng, Zheng and Yang 2016, "A Discriminatively Learned CNN Embedding for Person
//! Re-identification"): a classifier of two classes, the same person or another, on the squared differences of pairs.
//!
//! Image i of a batch of m images and image i + m / 2 are a pair: (x_i - x_(i + m / 2))^2 -> dropout -> FC D to 2 ->
//! softmax loss. The sampler decides how many pairs show one person; a batch of m images has m / 2 pairs.

use crate::Result;
use crate::autograd::{Init, ParamId, ParamSpecs, Tape, Var};
use crate::ops::dropout::dropout_from;
use crate::ops::gather::gather;
use crate::ops::linear::linear;
use crate::ops::softmax_cross_entropy::softmax_cross_entropy;
use crate::ops::verification::{pair_labels, squared_differences};
use crate::tensor::Tensor;
use crate::tensor::philox::RngStream;

/// The start of the names of the head's tensors in weight files.
pub const VERIFICATION: &str = "verification.";

/// The classifier of pairs.
#[derive(Clone, Copy, Debug)]
pub struct Verification {
    weight: ParamId,
    bias: ParamId,
}

impl Verification {
    /// Adds `verification.weight` `[2, features]` with the initial values `init` and `verification.bias` `[2]` to
    /// `specs`. Row 0 is of two persons, row 1 of one. `lr_mult` is the factor on their learning rate.
    pub fn new(features: usize, init: Init, lr_mult: f32, specs: &mut ParamSpecs) -> Self {
        Verification {
            weight: specs.add_with(format!("{VERIFICATION}weight"), [2, features], init, lr_mult),
            bias: specs.add_with(format!("{VERIFICATION}bias"), [2], Init::Constant(0.0), lr_mult),
        }
    }

    /// Computes the loss `[1]` of features `x` `[m, D]` and labels i32 `[N m]` of all N ranks, which may be any numbers: the
    /// mean over the pairs of the whole batch.
    ///
    /// # Errors
    /// An odd m; errors of the device.
    pub fn loss(&self, tape: &mut Tape<'_>, x: Var, labels: &Tensor, dropout_ratio: f32) -> Result<Var> {
        let x = gather(tape, x)?;
        let pairs = squared_differences(tape, x)?;
        // The mask of the classifier would be the same for a pair and for its first image.
        let dropped = dropout_from(tape, pairs, dropout_ratio, RngStream::Verification, 0)?;
        let (weight, bias) = (tape.param_of_all(self.weight), tape.param_of_all(self.bias));
        let logits = linear(tape, dropped, weight, bias)?;
        let same = pair_labels(tape, labels)?;
        softmax_cross_entropy(tape, logits, &same)
    }
}
