//! Detection of collapse: the features of all persons become nearly equal.
//!
//! Where the batch-contrastive loss outweighs the softmax loss, as its sum over the batch can (see
//! [`Reduction`]), it may pull all features into one point. There the hinge stands at m tau / 2 (sum) or tau / 2
//! (mean), its gradient (8) is zero because x_i - x_min is zero, and no force separates the features again. The losses
//! show nothing of this.

use crate::ops::batch_contrastive::Reduction;

/// Running mean of the distance between different persons below which features count as collapsed, as a
/// share of sqrt(tau). Healthy runs of the demo and on Omniglot stayed above 0.38 at tau 1; one at dropout 0.9 and
/// rate 0.05 fell to 0.16 within 100 steps and to 0.07 within 300.
const COLLAPSED: f64 = 0.2;
/// Steps over which the mean runs.
const WINDOW: f64 = 50.0;
/// Steps before the first warning.
const PATIENCE: u64 = 100;

/// The running mean of the distance between persons. It warns once.
#[derive(Debug)]
pub struct Watch {
    threshold: f64,
    reduction: Reduction,
    mean: f64,
    seen: u64,
    spoken: bool,
}

impl Watch {
    /// For the margin `tau`, a squared distance. The reduction changes the advice only.
    pub fn new(tau: f32, reduction: Reduction) -> Self {
        let threshold = COLLAPSED * f64::from(tau).sqrt();
        Watch { threshold, reduction, mean: 0.0, seen: 0, spoken: false }
    }

    /// Adds the mean inter-class distance of a step; `None` if the batch had no negative pair. Returns a warning when
    /// the features have collapsed.
    pub fn see(&mut self, step: u64, inter: Option<f32>) -> Option<String> {
        let inter = f64::from(inter?);
        self.seen += 1;
        self.mean += (inter - self.mean) / WINDOW.min(self.seen as f64);
        if self.spoken || self.seen < PATIENCE || self.mean >= self.threshold {
            return None;
        }
        self.spoken = true;
        let weaker = match self.reduction {
            Reduction::Sum => "loss.reduction=mean or a lower loss.lambda",
            Reduction::Mean => "a lower loss.lambda",
        };
        Some(format!(
            "step {step}: the features have collapsed (mean distance between different persons {:.3}). Start again \
             from pre-trained weights, or with model.dropout=0.5; if that is not enough, also with a lower solver.lr, \
             loss.lambda_warmup=1000, {weaker}",
            self.mean
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_once_when_features_collapse_and_not_for_a_dip() {
        let mut watch = Watch::new(1.0, Reduction::Sum);
        let mut feed = |inter: f32, steps: u64| {
            (0..steps).filter_map(|step| watch.see(step, Some(inter))).collect::<Vec<_>>()
        };
        assert!(feed(0.6, 150).is_empty());
        assert!(feed(0.05, 30).is_empty(), "a dip");
        assert!(feed(0.6, 100).is_empty());
        let said = feed(0.06, 300);
        assert!(said.len() == 1 && said[0].contains("loss.reduction=mean"), "{said:?}");
    }

    #[test]
    fn waits_for_its_patience_and_passes_over_batches_without_a_negative_pair() {
        let mut watch = Watch::new(0.3, Reduction::Mean);
        assert!((0..2 * PATIENCE).all(|step| watch.see(step, None).is_none()));
        assert!((0..PATIENCE - 1).all(|step| watch.see(step, Some(0.01)).is_none()));
        let said = watch.see(PATIENCE, Some(0.01)).unwrap();
        assert!(said.contains("a lower loss.lambda") && !said.contains("loss.reduction"), "{said}");
    }
}
