//! Neck between feature and classifier: BNNeck (Luo et al. 2019, "Bag of Tricks and a Strong Baseline for Deep Person
//! Re-identification").
//!
//! Batch normalisation of the features `[m, D]` with a learnt scale; the shift is constant 0, and the classifier behind it
//! has no bias. The batch-contrastive loss may take the feature before or behind the neck
//! (`loss.batch_contrastive.feature`), the softmax loss takes the one behind it, and so does evaluation.

use crate::Result;
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Params, Tape, Var};
use crate::ops::batchnorm::{BatchNorm, EPS, Epilogue, Statistics, batchnorm};

/// The start of the names of the neck's tensors in weight files.
pub const NECK: &str = "bottleneck.";

/// A batch-norm layer on features.
#[derive(Clone, Copy, Debug)]
pub struct Neck {
    gamma: ParamId,
    /// The shift, a buffer of zeros that training does not change.
    beta: BufferId,
    mean: BufferId,
    var: BufferId,
}

impl Neck {
    /// Adds `bottleneck.weight` `[features]` and the buffers `bottleneck.bias`, `.running_mean`, `.running_var` to
    /// `specs`. `lr_mult` is the factor on the learning rate of the scale.
    pub fn new(features: usize, lr_mult: f32, specs: &mut ParamSpecs) -> Self {
        Neck {
            gamma: specs.add_with(format!("{NECK}weight"), [features], Init::Constant(1.0), lr_mult),
            beta: specs.add_buffer(format!("{NECK}bias"), [features], 0.0),
            mean: specs.add_buffer(format!("{NECK}running_mean"), [features], 0.0),
            var: specs.add_buffer(format!("{NECK}running_var"), [features], 1.0),
        }
    }

    /// The neck with its running statistics as y_c = factor_c x_c + shift_c; channel by channel (factor, shift).
    ///
    /// # Errors
    /// Errors of the device.
    pub fn affine(&self, params: &Params) -> Result<Vec<(f64, f64)>> {
        let gamma = params.get(self.gamma).value.to_host_f32()?;
        let [beta, mean, var] =
            [self.beta, self.mean, self.var].map(|buffer| params.buffer(buffer).to_host_f32());
        let (beta, mean, var) = (beta?, mean?, var?);
        let channel = |c: usize| {
            let [gamma, beta, mean, var] = [&gamma, &beta, &mean, &var].map(|values| f64::from(values[c]));
            let factor = gamma / (var + f64::from(EPS)).sqrt();
            (factor, beta - factor * mean)
        };
        Ok((0..gamma.len()).map(channel).collect())
    }

    /// Normalises features `[m, D]`.
    ///
    /// # Errors
    /// If the features have another width, or a batch of one image for batch statistics.
    pub fn forward(&self, tape: &mut Tape<'_>, features: Var, statistics: Statistics) -> Result<Var> {
        let beta = tape.buffer(self.beta).clone();
        let bn = BatchNorm {
            gamma: tape.param(self.gamma),
            beta: tape.constant(beta),
            mean: self.mean,
            var: self.var,
        };
        let statistics = statistics.unless_frozen(tape, self.gamma);
        batchnorm(tape, features, bn, statistics, Epilogue::default())
    }
}
