//! The two-branch head after pool5 (figure 2 of the paper).
//!
//! - pool5 -> dropout -> FC -> softmax loss, on the feature as it is;
//! - pool5 -> L2-normalise -> batch-contrastive loss, with a center for each class.
//!
//! With a [`super::neck`] the first branch starts behind it, and the second before it or behind it.

use crate::Result;
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Tape, Var};
use crate::config;
use crate::ops::batch_contrastive::{BatchContrastive, Options, batch_contrastive};
use crate::ops::dropout::dropout;
use crate::ops::l2_normalize::l2_normalize;
use crate::ops::linear::linear;
use crate::ops::softmax_cross_entropy::softmax_cross_entropy;
use crate::tensor::Tensor;

/// The name of the class centers in weight files.
pub const CENTERS: &str = "centers";

/// Standard deviation of the classifier's initial weights: small, so that all classes start nearly equal.
const CLASSIFIER_STD: f32 = 0.001;

/// The classifier and the class centers.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    weight: ParamId,
    /// `None` behind a neck.
    bias: Option<ParamId>,
    /// The class centers `[classes, D]`, in the space of normalised features.
    pub centers: BufferId,
}

/// Both losses of one batch, and the normalised features for the center step.
pub struct Losses {
    /// The softmax loss L_s, equation (2), f32 `[1]`.
    pub softmax: Var,
    /// The loss L_b + L_c, equation (7), with its terms.
    pub batch_contrastive: BatchContrastive,
    /// The normalised features `[m, D]`.
    pub normalized: Tensor,
}

impl Head {
    /// Adds `fc.weight` `[classes, features]`, `fc.bias` if `has_bias`, and `centers` to `specs`. `rate` is the factor of the learning
    /// rate of the classifier. The centers start at 0: our choice, since the paper gives no initial value and the layer
    /// of Wen et al. 2016 leaves it to its filler.
    pub fn new(features: usize, classes: usize, has_bias: bool, rate: f32, specs: &mut ParamSpecs) -> Self {
        let weight = specs.add_with("fc.weight", [classes, features], Init::Normal(CLASSIFIER_STD), rate);
        let bias = has_bias.then(|| specs.add_with("fc.bias", [classes], Init::Constant(0.0), rate));
        let centers = specs.add_buffer(CENTERS, [classes, features], 0.0);
        Head { weight, bias, centers }
    }

    /// Computes both losses from features `[m, D]` and labels i32 `[m]`. `metric` is the feature of the batch-contrastive
    /// loss, `classified` that of the classifier; without a neck both are pool5.
    ///
    /// # Errors
    /// If a label is not below the number of classes; errors of the device.
    pub fn losses(
        &self,
        tape: &mut Tape<'_>,
        metric: Var,
        classified: Var,
        labels: &Tensor,
        dropout_ratio: f32,
        loss: &config::BatchContrastiveLoss,
    ) -> Result<Losses> {
        let x = l2_normalize(tape, metric)?;
        let normalized = x.value.clone();
        let centers = tape.buffer(self.centers).clone();
        let options = Options { gradient: loss.gradient, reduction: loss.reduction, tau: loss.tau };
        let batch_contrastive = batch_contrastive(tape, x, labels, &centers, options)?;
        let dropped = dropout(tape, classified, dropout_ratio)?;
        let weight = tape.param(self.weight);
        let bias = self.bias.map(|bias| tape.param(bias));
        let logits = linear(tape, dropped, weight, bias)?;
        let softmax = softmax_cross_entropy(tape, logits, labels)?;
        Ok(Losses { softmax, batch_contrastive, normalized })
    }
}
