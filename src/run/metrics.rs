//! `metrics.jsonl`: one line of JSON for each step, the source of every curve. [`Log`] writes it, [`read`] reads it.

mod log;
mod read;

pub use log::Log;
pub use read::{read, read_last};

use crate::config::MetricLoss;
use crate::ops::batch_contrastive::Term;
use serde::{Deserialize, Serialize};

/// The metrics of one step, a line of the file. A distance is `None` here, and `null` or absent in the file, if the
/// batch has no such pair. NaN and infinity, in the last step of a diverged run, are `null` in the file and `None`
/// after reading. Distances are those of the paper's figure 1: not squared, between normalised features of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The step, from 0.
    pub step: u64,
    /// L = L_s + lambda (L_b + L_c), equation (9); L_s times its weight, and other losses times theirs.
    pub loss: Option<f32>,
    /// L_s, equation (2).
    pub softmax: Option<f32>,
    /// The first sum of L_b, equation (3): pairs of one identity.
    pub positive: Option<f32>,
    /// The hinge of L_b, equation (3).
    pub hinge: Option<f32>,
    /// L_c, equation (4).
    pub center: Option<f32>,
    /// Learning rate of the weights.
    pub rate: Option<f32>,
    /// Weight of the batch-contrastive loss.
    pub lambda: Option<f32>,
    /// Mean distance between images of one identity.
    pub intra: Option<f32>,
    /// Mean distance between images of different identities.
    pub inter: Option<f32>,
    /// Smallest distance between images of different identities.
    pub inter_min: Option<f32>,
    /// The triplet loss, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triplet: Option<f32>,
    /// The circle loss, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circle: Option<f32>,
    /// The contrastive loss of pairs, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contrastive: Option<f32>,
    /// The center loss as a term of its own, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub center_loss: Option<f32>,
    /// The verification loss, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<f32>,
    /// The loss of attributes, if the run has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<f32>,
}

/// The values of a step's losses.
#[derive(Clone, Copy, Debug)]
pub struct StepLosses<'a> {
    /// L_s.
    pub softmax: f32,
    /// Weight of L_s.
    pub softmax_weight: f32,
    /// The terms of the batch-contrastive loss, indexed by [`Term`].
    pub terms: &'a [f32],
    /// Weight of the batch-contrastive loss.
    pub lambda: f32,
    /// Other losses with weight and value.
    pub metric_losses: &'a [(MetricLoss, f32, f32)],
}

impl StepMetrics {
    /// Metrics from the downloaded values.
    pub fn new(step: u64, rate: f32, losses: StepLosses<'_>) -> Self {
        let StepLosses { softmax, softmax_weight, terms, lambda, metric_losses } = losses;
        let value =
            |which: MetricLoss| metric_losses.iter().find(|(loss, ..)| *loss == which).map(|(.., v)| *v);
        let others: f32 = metric_losses.iter().map(|(_, weight, value)| weight * value).sum();
        let term = |term: Term| terms[term as usize];
        let present = |which: Term| Some(term(which)).filter(|v| v.is_finite());
        let (positive, hinge, center) = (term(Term::Positive), term(Term::Hinge), term(Term::Center));
        StepMetrics {
            step,
            loss: Some(softmax_weight * softmax + lambda * (positive + hinge + center) + others),
            softmax: Some(softmax),
            positive: Some(positive),
            hinge: Some(hinge),
            center: Some(center),
            rate: Some(rate),
            lambda: Some(lambda),
            intra: present(Term::IntraMean),
            inter: present(Term::InterMean),
            inter_min: present(Term::InterMin),
            triplet: value(MetricLoss::Triplet),
            circle: value(MetricLoss::Circle),
            contrastive: value(MetricLoss::Contrastive),
            center_loss: value(MetricLoss::Center),
            verification: value(MetricLoss::Verification),
            attributes: value(MetricLoss::Attributes),
        }
    }

    /// The losses of other methods that the run has, by full name.
    pub fn metric_losses(&self) -> impl Iterator<Item = (&'static str, f32)> {
        MetricLoss::ALL.into_iter().filter_map(|loss| Some((loss.full_name(), self.metric_loss(loss)?)))
    }

    /// A loss of another method; `None` if the run does not have it.
    pub fn metric_loss(&self, loss: MetricLoss) -> Option<f32> {
        match loss {
            MetricLoss::Triplet => self.triplet,
            MetricLoss::Circle => self.circle,
            MetricLoss::Contrastive => self.contrastive,
            MetricLoss::Center => self.center_loss,
            MetricLoss::Verification => self.verification,
            MetricLoss::Attributes => self.attributes,
        }
    }

    /// The batch loss L_b, equation (3).
    pub fn batch(&self) -> Option<f32> {
        Some(self.positive? + self.hinge?)
    }

    /// The first loss that is NaN or infinite, by name.
    pub fn not_finite(&self) -> Option<(&'static str, f32)> {
        [
            ("softmax loss", self.softmax),
            ("batch loss", self.batch()),
            ("center loss", self.center),
            ("triplet loss", self.triplet),
            ("circle loss", self.circle),
            ("contrastive loss", self.contrastive),
            ("separate center loss", self.center_loss),
            ("verification loss", self.verification),
            ("loss of attributes", self.attributes),
            ("total loss", self.loss),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .find(|(_, value)| !value.is_finite())
    }
}
