//! The two-branch head after pool5 (figure 2 of the paper).
//!
//! - pool5 -> dropout -> FC -> softmax loss, on the feature as it is;
//! - pool5 -> L2-normalise -> batch-contrastive loss, with a center for each class.
//!
//! With a [`super::neck`] the first branch starts behind it, and the second before it or behind it. The losses of other
//! methods take pool5 or the feature behind the neck, as the settings say.

use super::attributes::{ATTRIBUTES, AttributeHeads};
use super::verification::{VERIFICATION, Verification};
use crate::autograd::{BufferId, Init, ParamId, ParamSpecs, Tape, Var};
use crate::config::{self, Config, FeatureKind, MetricLoss};
use crate::data::Attributes;
use crate::device::Device;
use crate::ops::batch_contrastive::{BatchContrastive, Options, batch_contrastive};
use crate::ops::center_loss::center_loss;
use crate::ops::circle::{self, circle};
use crate::ops::contrastive::{Margins, contrastive};
use crate::ops::dropout::dropout;
use crate::ops::gather::gather;
use crate::ops::l2_normalize::l2_normalize;
use crate::ops::linear::linear;
use crate::ops::softmax_cross_entropy::{Smoothing, softmax_cross_entropy_smoothed};
use crate::ops::triplet::{self, Margin, triplet};
use crate::ops::unlabelled;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// The name of the class centers in weight files.
pub const CENTERS: &str = "centers";
/// The name of the centers of the separate center loss in weight files.
pub const CENTER_LOSS: &str = "center_loss.centers";

/// Whether a tensor of a weight file belongs to a loss alone: it is no part of features and of the classifier.
pub fn is_of_losses(name: &str) -> bool {
    [CENTERS, CENTER_LOSS].contains(&name)
        || [VERIFICATION, ATTRIBUTES].iter().any(|start| name.starts_with(start))
}

/// Standard deviation of the classifier's initial weights: small, so that all classes start nearly equal.
const CLASSIFIER_STD: f32 = 0.001;

/// The classes of a head: identities, and their attributes. A number converts to identities without attributes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outputs<'a> {
    /// The number of identities; 0 makes a network without a head.
    pub classes: usize,
    /// The attributes of the identities, for `loss.attributes`.
    pub attributes: Option<&'a Attributes>,
}

impl From<usize> for Outputs<'_> {
    fn from(classes: usize) -> Self {
        Outputs { classes, attributes: None }
    }
}

/// The classifier and the class centers.
#[derive(Clone, Debug)]
pub struct Head {
    weight: ParamId,
    /// `None` behind a neck.
    bias: Option<ParamId>,
    /// The class centers `[classes, D]`, in the space of the normalised features that their loss takes.
    pub centers: BufferId,
    /// The centers `[classes, D]` of the separate center loss, in the space of its features; `None` without this loss.
    pub center_loss: Option<BufferId>,
    /// The classifier of pairs; `None` without the verification loss.
    verification: Option<Verification>,
    /// The classifiers of attributes; `None` without their loss.
    attributes: Option<AttributeHeads>,
}

/// The losses of one batch, and the normalised features for the center step.
pub struct Losses {
    /// The softmax loss L_s, equation (2), f32 `[1]`.
    pub softmax: Var,
    /// The loss L_b + L_c, equation (7), with its terms; `None` in batches with images without an identity.
    pub batch_contrastive: Option<BatchContrastive>,
    /// The losses of other methods, f32 `[1]` each, in the order of [`crate::config::Loss::metric_losses`].
    pub metric_losses: Vec<Var>,
    /// The normalised features `[N m, D]` of the batch-contrastive loss.
    pub normalized: Tensor,
    /// The features `[N m, D]` of the separate center loss; `None` without this loss.
    pub of_center_loss: Option<Tensor>,
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

/// The widths of the features that losses choose from.
#[derive(Clone, Copy, Debug)]
pub struct Widths {
    /// C, of pool5.
    pub pool5: usize,
    /// D, of the embedding and of the neck; without an embedding C.
    pub embedding: usize,
}

impl Widths {
    fn of(self, kind: FeatureKind) -> usize {
        match kind {
            FeatureKind::Pool5 => self.pool5,
            FeatureKind::Embedding | FeatureKind::Neck => self.embedding,
        }
    }
}

impl FeaturesOfBatch {
    fn of(&self, kind: FeatureKind) -> Var {
        match kind {
            FeatureKind::Pool5 => self.pool5.clone(),
            FeatureKind::Embedding => self.embedding.clone(),
            FeatureKind::Neck => self.neck.clone(),
        }
    }

    /// The feature that a loss takes, divided by its length if the loss asks for it, of the images of all ranks.
    fn chosen(&self, tape: &mut Tape<'_>, kind: FeatureKind, normalise: bool) -> Result<Var> {
        let own = match normalise {
            true => l2_normalize(tape, self.of(kind))?,
            false => self.of(kind),
        };
        gather(tape, own)
    }
}

impl Head {
    /// Adds `fc.weight` `[classes, D]`, `fc.bias` if `has_bias`, and `centers` to `specs`; and what losses with a weight
    /// need beside them, `center_loss.centers`, `verification.*` and `attributes.*`. `solver.head_rate` is the factor on the
    /// learning rate of the classifiers. The centers start at 0: our choice, since the paper gives no
    /// initial value and the layer of Wen et al. 2016 leaves it to its filler.
    ///
    /// # Errors
    /// As [`AttributeHeads::new`].
    pub fn new(
        widths: Widths,
        outputs: Outputs<'_>,
        has_bias: bool,
        config: &Config,
        specs: &mut ParamSpecs,
        device: &Device,
    ) -> Result<Self> {
        let (classes, loss, lr_mult) = (outputs.classes, &config.loss, config.solver.head_rate);
        let init = Init::Normal(CLASSIFIER_STD);
        let weight = specs.add_with("fc.weight", [classes, widths.embedding], init, lr_mult);
        let bias = has_bias.then(|| specs.add_with("fc.bias", [classes], Init::Constant(0.0), lr_mult));
        let centers = specs.add_buffer(CENTERS, [classes, widths.of(loss.batch_contrastive.feature)], 0.0);
        let of_loss = [classes, widths.of(loss.center.feature)];
        let center_loss = (loss.center.weight != 0.0).then(|| specs.add_buffer(CENTER_LOSS, of_loss, 0.0));
        let of_pair = widths.of(loss.verification.feature);
        let has_verification = loss.verification.weight != 0.0;
        let verification = has_verification.then(|| Verification::new(of_pair, init, lr_mult, specs));
        let of_attributes = widths.of(loss.attributes.feature);
        let attributes = outputs.attributes.filter(|_| loss.attributes.weight != 0.0);
        let attributes =
            attributes.map(|of| AttributeHeads::new(of, of_attributes, init, lr_mult, specs, device));
        Ok(Head { weight, bias, centers, center_loss, verification, attributes: attributes.transpose()? })
    }

    /// Computes the losses that have a weight, the softmax and the batch-contrastive loss in any case, from features of m
    /// images and the labels i32 `[N m]` of all N ranks. Each loss is that of the whole batch, on each rank. With
    /// `has_unlabelled` a label may be [`unlabelled::UNLABELLED`]: the softmax loss then takes the uniform distribution over
    /// the classes, and the batch-contrastive loss is not computed.
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
        has_unlabelled: bool,
    ) -> Result<Losses> {
        let own = &loss.batch_contrastive;
        let x = features.chosen(tape, own.feature, true)?;
        let normalized = x.value.clone();
        let centers = tape.buffer(self.centers).clone();
        let options = Options { gradient: own.gradient, reduction: own.reduction, tau: own.tau };
        let batch_contrastive = match has_unlabelled {
            true => None,
            false => Some(batch_contrastive(tape, x, labels, &centers, options)?),
        };
        let own = &loss.center;
        let of_center_loss = self.center_loss.map(|_| features.chosen(tape, own.feature, own.normalise));
        let of_center_loss = of_center_loss.transpose()?;
        let before_dropout =
            loss.metric_losses().into_iter().filter(|(which, _)| *which != MetricLoss::Attributes);
        let metric_losses = before_dropout.map(|(which, _)| match which {
            MetricLoss::Center => self.separate_center_loss(tape, of_center_loss.as_ref(), labels),
            MetricLoss::Verification => {
                let own = &loss.verification;
                let head = self.verification.ok_or_else(|| without(which))?;
                head.loss(tape, features.of(own.feature), labels, own.dropout)
            }
            of_pairs => loss_of_pairs(tape, of_pairs, &features, labels, loss),
        });
        let mut metric_losses = metric_losses.collect::<Result<Vec<_>>>()?;
        let dropped = dropout(tape, features.neck.clone(), dropout_ratio)?;
        if loss.attributes.weight != 0.0 {
            // The last of the losses of other methods.
            let heads = self.attributes.as_ref().ok_or_else(|| without(MetricLoss::Attributes))?;
            let x = features.of(loss.attributes.feature);
            let is_that_of_the_classifier = x.handle() == features.neck.handle();
            let x =
                if is_that_of_the_classifier { dropped.clone() } else { dropout(tape, x, dropout_ratio)? };
            metric_losses.push(heads.loss(tape, x, labels)?);
        }
        let weight = tape.param(self.weight);
        let bias = self.bias.map(|bias| tape.param(bias));
        // The logits of the images of all ranks, for a mean over the whole batch.
        let logits = linear(tape, dropped, weight, bias)?;
        let logits = gather(tape, logits)?;
        let softmax = match has_unlabelled {
            true => {
                let (targets, smoothings) = unlabelled::targets(labels, loss.softmax.smoothing)?;
                softmax_cross_entropy_smoothed(tape, logits, &targets, &Smoothing::Each(smoothings))?
            }
            false => {
                let smoothing = Smoothing::All(loss.softmax.smoothing);
                softmax_cross_entropy_smoothed(tape, logits, labels, &smoothing)?
            }
        };
        let of_center_loss = of_center_loss.map(|x| x.value);
        Ok(Losses { softmax, batch_contrastive, metric_losses, normalized, of_center_loss })
    }

    /// The separate center loss of its features `x`.
    fn separate_center_loss(&self, tape: &mut Tape<'_>, x: Option<&Var>, labels: &Tensor) -> Result<Var> {
        let (Some(centers), Some(x)) = (self.center_loss, x) else { return Err(without(MetricLoss::Center)) };
        let centers = tape.buffer(centers).clone();
        center_loss(tape, x.clone(), labels, &centers)
    }
}

/// The error about a loss whose parameters the model lacks.
fn without(loss: MetricLoss) -> Error {
    let name = loss.name();
    Error::Run(format!(
        "the model was made without loss.{name}, and the step has a weight for it; make the model with the settings of \
         the step"
    ))
}

/// The loss of another method on the pairs of a batch, f32 `[1]`.
fn loss_of_pairs(
    tape: &mut Tape<'_>,
    which: MetricLoss,
    features: &FeaturesOfBatch,
    labels: &Tensor,
    loss: &config::Loss,
) -> Result<Var> {
    Ok(match which {
        MetricLoss::Triplet => {
            let own = &loss.triplet;
            let margin = if own.soft { Margin::Soft } else { Margin::Hard(own.margin) };
            let x = features.chosen(tape, own.feature, own.normalise)?;
            triplet(tape, x, labels, triplet::Options { mining: own.mining, margin, distance: own.distance })?
                .loss
        }
        MetricLoss::Circle => {
            let own = &loss.circle;
            let x = features.chosen(tape, own.feature, true)?;
            let options = circle::Options { margin: own.margin, gamma: own.gamma, scope: own.scope };
            circle(tape, x, labels, options)?.loss
        }
        MetricLoss::Contrastive => {
            let own = &loss.contrastive;
            let x = features.chosen(tape, own.feature, own.normalise)?;
            contrastive(tape, x, labels, Margins { positive: own.positive, negative: own.negative })?.loss
        }
        MetricLoss::Center | MetricLoss::Verification | MetricLoss::Attributes => return Err(without(which)),
    })
}
