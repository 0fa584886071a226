//! What changes from step to step: learning rates and the weight of the batch-contrastive loss.

use crate::config::{CenterRate, Config};

/// The host's copy of a step's values; [`crate::autograd::StepValues`] is the device's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled {
    /// Learning rate of the weights.
    pub rate: f32,
    /// Weight of the batch-contrastive loss.
    pub lambda: f32,
    /// Learning rate of the centers.
    pub center_rate: f32,
}

/// The values of step `step`, counted from 0. A ramp of n iterations takes the values 1/n, 2/n, ..., 1.
pub fn at(config: &Config, step: u64) -> Scheduled {
    let ramp = |length: u64| if step < length { (step + 1) as f32 / length as f32 } else { 1.0 };
    let solver = &config.solver;
    let drops = solver.rate_drops.iter().filter(|&&drop| step >= drop).count();
    let rate = solver.rate * solver.rate_factor.powi(drops as i32) * ramp(solver.rate_warmup);
    let lambda = config.loss.lambda * ramp(config.loss.lambda_warmup);
    let center_rate = match config.loss.center_rate {
        CenterRate::Tied => rate,
        CenterRate::Fixed(rate) => rate,
    };
    Scheduled { rate, lambda, center_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_rate_drops_every_20k() {
        let config = Config::default();
        for (step, rate) in [(0, 1e-2), (19_999, 1e-2), (20_000, 1e-3), (39_999, 1e-3), (40_000, 1e-4)] {
            assert!((at(&config, step).rate / rate - 1.0).abs() < 1e-6, "step {step}");
        }
        assert_eq!(at(&config, 0).lambda, 1.0);
        assert_eq!(at(&config, 0).center_rate, 0.5);
    }

    #[test]
    fn ramps_reach_their_end_and_tied_centers_follow_the_rate() {
        let mut config = Config::default();
        config.solver.rate_warmup = 4;
        config.loss.lambda_warmup = 2;
        config.loss.center_rate = CenterRate::Tied;
        let values: Vec<_> = (0..5).map(|s| at(&config, s)).collect();
        assert_eq!(values[0].rate, 0.0025);
        assert_eq!(values[3].rate, 0.01);
        assert_eq!(values[4].rate, 0.01);
        assert_eq!([values[0].lambda, values[1].lambda, values[2].lambda], [0.5, 1.0, 1.0]);
        assert_eq!(values[0].center_rate, 0.0025);
    }
}
