//! The schedule: learning rates and the weight of the batch-contrastive loss in each step.

use crate::config::{CenterRate, Config};

/// The names of the solver's scalars in [`crate::autograd::StepValues`].
pub const SCALARS: [&str; 3] = [LR, LAMBDA, CENTER_RATE];
/// Learning rate of the weights.
pub const LR: &str = "lr";
/// Lambda of equation (9), the weight of the batch-contrastive loss.
pub const LAMBDA: &str = "lambda";
/// Learning rate of the class centers.
pub const CENTER_RATE: &str = "center_rate";

/// The scheduled values of a step, on the host; [`crate::autograd::StepValues`] holds them on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scheduled {
    /// Learning rate of the weights.
    pub lr: f32,
    /// Weight of the batch-contrastive loss.
    pub lambda: f32,
    /// Learning rate of the centers.
    pub center_rate: f32,
}

impl Scheduled {
    /// The values with their names, in the order of [`SCALARS`].
    pub fn scalars(&self) -> [(&'static str, f32); 3] {
        [(LR, self.lr), (LAMBDA, self.lambda), (CENTER_RATE, self.center_rate)]
    }
}

/// The values of step `step`, counted from 0. A ramp of n iterations takes the values 1/n, 2/n, ..., 1.
pub fn at(config: &Config, step: u64) -> Scheduled {
    let ramp = |length: u64| if step < length { (step + 1) as f32 / length as f32 } else { 1.0 };
    let solver = &config.solver;
    let drops = solver.lr_milestones.iter().filter(|&&drop| step >= drop).count();
    let lr = solver.lr * solver.lr_gamma.powi(drops as i32) * ramp(solver.lr_warmup);
    let lambda = config.loss.lambda * ramp(config.loss.lambda_warmup);
    let center_rate = match config.loss.center_rate {
        CenterRate::Tied => lr,
        CenterRate::Fixed(rate) => rate,
    };
    Scheduled { lr, lambda, center_rate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_learning_rate_drops_every_20k() {
        let config = Config::default();
        for (step, lr) in [(0, 1e-2), (19_999, 1e-2), (20_000, 1e-3), (39_999, 1e-3), (40_000, 1e-4)] {
            assert!((at(&config, step).lr / lr - 1.0).abs() < 1e-6, "step {step}");
        }
        assert_eq!(at(&config, 0).lambda, 1.0);
        assert_eq!(at(&config, 0).center_rate, 0.5);
    }

    #[test]
    fn ramps_reach_their_end_and_tied_centers_follow_the_rate() {
        let mut config = Config::default();
        config.solver.lr_warmup = 4;
        config.loss.lambda_warmup = 2;
        config.loss.center_rate = CenterRate::Tied;
        let values: Vec<_> = (0..5).map(|s| at(&config, s)).collect();
        assert_eq!(values[0].lr, 0.0025);
        assert_eq!(values[3].lr, 0.01);
        assert_eq!(values[4].lr, 0.01);
        assert_eq!([values[0].lambda, values[1].lambda, values[2].lambda], [0.5, 1.0, 1.0]);
        assert_eq!(values[0].center_rate, 0.0025);
    }
}
