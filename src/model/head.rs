//! The two-branch head after pool5 (figure 2 of the paper).
//!
//! - pool5 -> dropout -> FC -> softmax loss, on the feature as it is;
//! - pool5 -> L2-normalise -> batch-contrastive loss, with a center for each class.
//!
//! With a [`super::neck`] the first branch starts behind it, and the second before it or behind it. The losses of other
//! methods take pool5 or the feature behind the neck, as the settings say.

use crate::Result;
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Tape, Var};
use crate::config::{self, FeatureKind, MetricLoss};
use crate::ops::batch_contrastive::{BatchContrastive, Options, batch_contrastive};
use crate::ops::circle::{self, circle};
use crate::ops::contrastive::{Margins, contrastive};
use crate::ops::dropout::dropout;
use crate::ops::l2_normalize::l2_normalize;
use crate::ops::linear::linear;
use crate::ops::softmax_cross_entropy::{Smoothing, softmax_cross_entropy_smoothed};
use crate::ops::triplet::{self, Margin, triplet};
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
    /// The class centers `[classes, D]`, in the space of the normalised features that their loss takes.
    pub centers: BufferId,
}

/// The losses of one batch, and the normalised features for the center step.
pub struct Losses {
    /// The softmax loss L_s, equation (2), f32 `[1]`.
    pub softmax: Var,
    /// The loss L_b + L_c, equation (7), with its terms.
    pub batch_contrastive: BatchContrastive,
    /// The losses of other methods, f32 `[1]` each, in the order of [`crate::config::Loss::metric_losses`].
    pub metric_losses: Vec<Var>,
    /// The normalised features `[m, D]` of the batch-contrastive loss.
    pub normalized: Tensor,
}

/// The features of a batch that losses choose from, `[m, C]` before the embedding and `[m, D]` behind it. Without an
/// embedding or a neck its feature is the one before it.
pub struct FeaturesOfBatch {
    /// The output of the backbone.
    pub pool5: Var,
    /// The output of the embedding.
    pub embedding: Var,
    /// The output of the neck.
    pub neck: Var,
}

impl FeaturesOfBatch {
    fn of(&self, kind: FeatureKind) -> Var {
        match kind {
            FeatureKind::Pool5 => self.pool5.clone(),
            FeatureKind::Embedding => self.embedding.clone(),
            FeatureKind::Neck => self.neck.clone(),
        }
    }
}

impl Head {
    /// Adds `fc.weight` `[classes, features]`, `fc.bias` if `has_bias`, and `centers` `[classes, of_centers]` to `specs`.
    /// `lr_mult` is the factor on the learning rate of the classifier. The centers start at 0: our choice, since the paper gives no
    /// initial value and the layer of Wen et al. 2016 leaves it to its filler.
    pub fn new(
        (features, of_centers): (usize, usize),
        classes: usize,
        has_bias: bool,
        lr_mult: f32,
        specs: &mut ParamSpecs,
    ) -> Self {
        let weight = specs.add_with("fc.weight", [classes, features], Init::Normal(CLASSIFIER_STD), lr_mult);
        let bias = has_bias.then(|| specs.add_with("fc.bias", [classes], Init::Constant(0.0), lr_mult));
        let centers = specs.add_buffer(CENTERS, [classes, of_centers], 0.0);
        Head { weight, bias, centers }
    }

    /// Computes the losses that have a weight, the softmax and the batch-contrastive loss in any case, from features and
    /// labels i32 `[m]`.
    ///
    /// # Errors
    /// If a label is not below the number of classes; errors of the device.
    pub fn losses(
        &self,
        tape: &mut Tape<'_>,
        features: FeaturesOfBatch,
        labels: &Tensor,
        dropout_ratio: f32,
        loss: &config::Loss,
    ) -> Result<Losses> {
        let own = &loss.batch_contrastive;
        let x = l2_normalize(tape, features.of(own.feature))?;
        let normalized = x.value.clone();
        let centers = tape.buffer(self.centers).clone();
        let options = Options { gradient: own.gradient, reduction: own.reduction, tau: own.tau };
        let batch_contrastive = batch_contrastive(tape, x, labels, &centers, options)?;
        let weighted = loss.metric_losses().into_iter();
        let metric_losses = weighted.map(|(which, _)| metric_loss(tape, which, &features, labels, loss));
        let metric_losses = metric_losses.collect::<Result<Vec<_>>>()?;
        let dropped = dropout(tape, features.neck, dropout_ratio)?;
        let weight = tape.param(self.weight);
        let bias = self.bias.map(|bias| tape.param(bias));
        let logits = linear(tape, dropped, weight, bias)?;
        let smoothing = Smoothing::All(loss.softmax.smoothing);
        let softmax = softmax_cross_entropy_smoothed(tape, logits, labels, &smoothing)?;
        Ok(Losses { softmax, batch_contrastive, metric_losses, normalized })
    }
}

/// The loss of another method, f32 `[1]`.
fn metric_loss(
    tape: &mut Tape<'_>,
    which: MetricLoss,
    features: &FeaturesOfBatch,
    labels: &Tensor,
    loss: &config::Loss,
) -> Result<Var> {
    let mut feature = |kind: FeatureKind, normalise: bool| match normalise {
        true => l2_normalize(tape, features.of(kind)),
        false => Ok(features.of(kind)),
    };
    Ok(match which {
        MetricLoss::Triplet => {
            let own = &loss.triplet;
            let margin = if own.soft { Margin::Soft } else { Margin::Hard(own.margin) };
            let x = feature(own.feature, own.normalise)?;
            triplet(tape, x, labels, triplet::Options { margin, distance: own.distance })?.loss
        }
        MetricLoss::Circle => {
            let own = &loss.circle;
            let x = feature(own.feature, true)?;
            let options = circle::Options { margin: own.margin, gamma: own.gamma, scope: own.scope };
            circle(tape, x, labels, options)?.loss
        }
        MetricLoss::Contrastive => {
            let own = &loss.contrastive;
            let x = feature(own.feature, own.normalise)?;
            contrastive(tape, x, labels, Margins { positive: own.positive, negative: own.negative })?.loss
        }
    })
}
