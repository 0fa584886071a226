//! Watches for collapse: all features nearly equal, whoever the person is.
//!
//! The batch-contrastive loss is a sum over the batch where the softmax loss is a mean, so from random
//! weights it can win by pulling everything into one point. There the hinge sits at m tau / 2, its gradient
//! (8) is zero because x_i - x_min is, and nothing pushes apart again. Losses look calm while it happens.

/// Mean distance between different persons below which features count as collapsed, as a share of
/// sqrt(tau). On Omniglot at tau 1 healthy runs never averaged below 0.6.
const COLLAPSED: f64 = 0.1;
/// Steps in a row before the watcher speaks.
const PATIENCE: u64 = 100;

/// Speaks once.
#[derive(Debug)]
pub struct Watch {
    threshold: f64,
    below: u64,
    spoken: bool,
}

impl Watch {
    /// For margin `tau` (a squared distance).
    pub fn new(tau: f32) -> Self {
        Watch { threshold: COLLAPSED * f64::from(tau).sqrt(), below: 0, spoken: false }
    }

    /// Takes the mean inter-class distance of one more step (none: the batch had no negative pair); returns
    /// what to tell the person when the features have collapsed.
    pub fn see(&mut self, step: u64, inter: Option<f32>) -> Option<String> {
        let inter = f64::from(inter?);
        self.below = if inter < self.threshold { self.below + 1 } else { 0 };
        if self.below < PATIENCE || self.spoken {
            return None;
        }
        self.spoken = true;
        Some(format!(
            "step {step}: the features have collapsed (mean distance between different persons {inter:.4}, for \
             {PATIENCE} steps). Start again with one of: --set loss.lambda_warmup=1000, --set loss.lambda=0.1, \
             --set model.dropout=0.5, a lower solver.rate, or pre-trained --weights"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_once_after_its_patience_and_not_for_a_dip() {
        let mut watch = Watch::new(1.0);
        for step in 0..PATIENCE - 1 {
            assert!(watch.see(step, Some(0.01)).is_none());
        }
        assert!(watch.see(PATIENCE, Some(0.5)).is_none());
        for step in 0..PATIENCE - 1 {
            assert!(watch.see(step, Some(0.01)).is_none());
        }
        assert!(watch.see(999, None).is_none());
        assert!(watch.see(1000, Some(0.01)).unwrap().contains("lambda_warmup"));
        assert!(watch.see(1001, Some(0.01)).is_none());
    }
}
