//! The sections of the losses: `loss.softmax`, `loss.batch_contrastive` and those of other methods.

use super::super::wrong_type::Setting;
use super::{Entry, Sampler};
pub use crate::ops::batch_contrastive::{Gradient, Reduction};
pub use crate::ops::circle::Scope;
pub use crate::ops::triplet::{Distance, Mining};
use serde::{Deserialize, Serialize};

/// The terms of the loss; the training minimises their weighted sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// The softmax loss.
    pub softmax: SoftmaxLoss,
    /// The batch-contrastive loss.
    pub batch_contrastive: BatchContrastiveLoss,
    /// The triplet loss.
    pub triplet: TripletLoss,
    /// The circle loss.
    pub circle: CircleLoss,
    /// The contrastive loss of pairs.
    pub contrastive: ContrastiveLoss,
    /// The center loss as a term of its own.
    pub center: CenterLoss,
    /// The verification loss of pairs.
    pub verification: VerificationLoss,
    /// The loss of attributes.
    pub attributes: AttributesLoss,
}

impl Loss {
    pub(in crate::config) fn entries() -> Vec<Entry> {
        [
            SoftmaxLoss::entries(),
            BatchContrastiveLoss::entries(),
            TripletLoss::entries(),
            CircleLoss::entries(),
            ContrastiveLoss::entries(),
            CenterLoss::entries(),
            VerificationLoss::entries(),
            AttributesLoss::entries(),
        ]
        .concat()
    }

    /// The losses of other methods that have a weight, with their weights, in the order of [`MetricLoss::ALL`].
    pub fn metric_losses(&self) -> Vec<(MetricLoss, f32)> {
        let weight = |loss: MetricLoss| match loss {
            MetricLoss::Triplet => self.triplet.weight,
            MetricLoss::Circle => self.circle.weight,
            MetricLoss::Contrastive => self.contrastive.weight,
            MetricLoss::Center => self.center.weight,
            MetricLoss::Verification => self.verification.weight,
            MetricLoss::Attributes => self.attributes.weight,
        };
        let all = MetricLoss::ALL.into_iter().map(|loss| (loss, weight(loss)));
        all.filter(|(_, weight)| *weight != 0.0).collect()
    }

    /// The first loss with a weight that needs two images of one person in a batch.
    pub fn of_pairs(&self) -> Option<&'static str> {
        match self.batch_contrastive.weight > 0.0 {
            true => Some("batch-contrastive"),
            false => {
                let mut losses = self.metric_losses().into_iter();
                losses.find(|(loss, _)| loss.is_of_pairs()).map(|(loss, _)| loss.name())
            }
        }
    }
}

section! {
    /// The softmax loss of the classifier.
    SoftmaxLoss, "loss.softmax" {
        /// Weight of the softmax loss; with 0 it is measured but not trained on.
        weight: f32 = 1.0, "1", "equation (9)";
        /// Share of the label that is spread over all classes.
        smoothing: f32 = 0.0, "probability", "Szegedy et al. 2016 (0 is the paper's)";
    }
}

section! {
    /// The batch-contrastive loss.
    BatchContrastiveLoss, "loss.batch_contrastive" {
        /// Weight lambda of the batch-contrastive loss; 0 is the paper's baseline.
        weight: f32 = 1.0, "1", "section 3.2, equation (9)";
        /// Iterations over which the weight grows from 0; a remedy for collapsing features.
        warmup: u64 = 0, "iterations", "ours (0 is the paper's)";
        /// Margin of the hinge, a squared distance of unit vectors.
        tau: f32 = 0.3, "squared distance, 0 to 4", "ours (the paper gives none; chosen in docs/method.md)";
        /// Equation (8), which holds partner samples constant, or the true derivative of (3).
        gradient: Gradient = Gradient::Paper, "paper | exact", "equation (8)";
        /// Equations (3) and (4) as sums over the batch, as the paper writes them, or as means, like Caffe's loss
        /// layers. With the mean, a weight has 1/m of its effect with the sum; m is `solver.batch`.
        reduction: Reduction = Reduction::Sum, "sum | mean", "equations (3) and (4) as written";
        /// The feature that the loss takes, normalised to length 1: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "figure 2";
        /// Learning rate of the class centers, or "tied" to that of the weights (algorithm 1).
        center_rate: CenterRate = CenterRate::Fixed(0.5), "1 | tied", "Wen et al. 2016";
    }
}

section! {
    /// The triplet loss of a batch.
    TripletLoss, "loss.triplet" {
        /// Weight of the triplet loss: of each image, its distance to images of the same person and to those of others.
        weight: f32 = 0.0, "1", "Hermans et al. 2017";
        /// The farthest image of the same person and the nearest of another, or the means over all images of the same
        /// person and over all others, with more weight on those that are hard (AGW).
        mining: Mining = Mining::Hard, "hard | weighted", "Hermans et al. 2017 (weighted: Ye et al. 2021)";
        /// Margin of the hinge, in the unit of the distance.
        margin: f32 = 0.3, "distance", "Luo et al. 2019";
        /// log(1 + exp(x)) in place of the hinge; the margin has no effect then.
        soft: bool = false, "true | false", "Hermans et al. 2017";
        /// The Euclidean distance or its square.
        distance: Distance = Distance::Euclidean, "euclidean | squared", "Hermans et al. 2017";
        /// The feature that the loss takes: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "Luo et al. 2019";
        /// Divide the feature by its length.
        normalise: bool = false, "true | false", "Hermans et al. 2017";
    }
}

section! {
    /// The circle loss.
    CircleLoss, "loss.circle" {
        /// Weight of the circle loss.
        weight: f32 = 0.0, "1", "Sun et al. 2020";
        /// Relaxation, a cosine similarity.
        margin: f32 = 0.25, "cosine", "Sun et al. 2020";
        /// Scale of the similarities.
        gamma: f32 = 32.0, "1", "layumi's baseline (Sun et al. 2020: 128 for re-identification)";
        /// A sum over the pairs of each image, or over all pairs of the batch.
        scope: Scope = Scope::Anchor, "anchor | batch", "Sun et al. 2020 (batch: layumi's baseline)";
        /// The feature that the loss takes, normalised to length 1: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "layumi's baseline";
    }
}

section! {
    /// The contrastive loss of pairs.
    ContrastiveLoss, "loss.contrastive" {
        /// Weight of the contrastive loss of all pairs of a batch.
        weight: f32 = 0.0, "1", "Hadsell et al. 2006";
        /// Distance below which two images of one person cost nothing.
        positive: f32 = 0.0, "distance", "layumi's baseline";
        /// Distance above which images of two persons cost nothing.
        negative: f32 = 1.0, "distance", "layumi's baseline";
        /// The feature that the loss takes: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "layumi's baseline";
        /// Divide the feature by its length.
        normalise: bool = true, "true | false", "layumi's baseline";
    }
}

section! {
    /// The center loss as a term of its own, with centers of its own.
    CenterLoss, "loss.center" {
        /// Weight of the mean squared distance between each image's feature and the center of its person.
        weight: f32 = 0.0, "1", "Wen et al. 2016 (Luo et al. 2019: 0.0005)";
        /// The feature that the loss takes: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "Luo et al. 2019";
        /// Divide the feature by its length.
        normalise: bool = false, "true | false", "Luo et al. 2019";
        /// Learning rate of these centers, updated as those of the batch-contrastive loss.
        rate: f32 = 0.5, "1", "Wen et al. 2016";
    }
}

section! {
    /// The verification loss of the pairs (i, i + m/2) of a batch of m images.
    VerificationLoss, "loss.verification" {
        /// Weight of the softmax loss over the same person or another, for each pair of a batch.
        weight: f32 = 0.0, "1", "Zheng et al. 2016b";
        /// Dropout ratio between the squared difference of a pair and its classifier.
        dropout: f32 = 0.9, "probability", "Zheng et al. 2016b";
        /// The feature that the loss takes: pool5, behind the embedding, or behind the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "Zheng et al. 2016b";
    }
}

section! {
    /// The loss of the attributes of persons, of which `data.attributes` names the file.
    AttributesLoss, "loss.attributes" {
        /// Weight of the mean over the attributes of their softmax losses. (Lin et al. weigh the softmax loss of the
        /// identities with 8 instead.)
        weight: f32 = 0.0, "1", "Lin et al. 2017";
        /// The feature that the classifiers of attributes take, behind the dropout: pool5, behind the embedding, or behind
        /// the neck.
        feature: FeatureKind = FeatureKind::Pool5, "pool5 | embedding | neck", "Lin et al. 2017";
    }
}

impl Sampler {
    /// Whether image i of a batch of m images and image i + m/2 can show one person, and can show two. Batches of
    /// several images of each person have the images of a person side by side, in one half or across its end.
    pub fn has_both_kinds_of_pairs(self) -> bool {
        match self {
            Sampler::Random | Sampler::Epochs | Sampler::Pairs => true,
            Sampler::Pk => false,
        }
    }
}

/// A loss of another method, beside the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricLoss {
    /// [`crate::ops::triplet`].
    Triplet,
    /// [`crate::ops::circle`].
    Circle,
    /// [`crate::ops::contrastive`].
    Contrastive,
    /// [`crate::ops::center_loss`].
    Center,
    /// [`crate::model::verification`].
    Verification,
    /// [`crate::model::attributes`].
    Attributes,
}

impl MetricLoss {
    /// All of them.
    pub const ALL: [MetricLoss; 6] = [
        MetricLoss::Triplet,
        MetricLoss::Circle,
        MetricLoss::Contrastive,
        MetricLoss::Center,
        MetricLoss::Verification,
        MetricLoss::Attributes,
    ];

    /// The name, as in the settings.
    pub fn name(self) -> &'static str {
        match self {
            MetricLoss::Triplet => "triplet",
            MetricLoss::Circle => "circle",
            MetricLoss::Contrastive => "contrastive",
            MetricLoss::Center => "center",
            MetricLoss::Verification => "verification",
            MetricLoss::Attributes => "attributes",
        }
    }

    /// The name beside the terms of the batch-contrastive loss, one of which is a center loss too.
    pub fn full_name(self) -> &'static str {
        match self {
            MetricLoss::Center => "separate center",
            other => other.name(),
        }
    }

    /// Whether the loss needs two images of one person in a batch.
    pub fn is_of_pairs(self) -> bool {
        match self {
            MetricLoss::Triplet | MetricLoss::Circle | MetricLoss::Contrastive | MetricLoss::Verification => {
                true
            }
            MetricLoss::Center | MetricLoss::Attributes => false,
        }
    }
}

choice! {
    /// The feature that a loss takes.
    FeatureKind {
        /// The output of the backbone.
        Pool5,
        /// The output of the embedding.
        Embedding,
        /// The output of the neck.
        Neck
    }
}

/// Learning rate of the class centers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum CenterRate {
    /// The learning rate of the weights (algorithm 1 of the paper).
    Tied,
    /// A constant.
    Fixed(f32),
}

impl TryFrom<toml::Value> for CenterRate {
    type Error = String;

    fn try_from(value: toml::Value) -> std::result::Result<Self, String> {
        match value {
            toml::Value::String(s) if s == "tied" => Ok(CenterRate::Tied),
            toml::Value::Float(rate) => Ok(CenterRate::Fixed(rate as f32)),
            toml::Value::Integer(rate) => Ok(CenterRate::Fixed(rate as f32)),
            other => Err(format!("{other} is neither a number nor \"tied\"")),
        }
    }
}

impl From<CenterRate> for toml::Value {
    fn from(rate: CenterRate) -> Self {
        match rate {
            CenterRate::Tied => toml::Value::String("tied".into()),
            // Through the shortest decimal form, so that 0.1 is written as 0.1.
            CenterRate::Fixed(rate) => {
                toml::Value::Float(rate.to_string().parse().unwrap_or(f64::from(rate)))
            }
        }
    }
}
