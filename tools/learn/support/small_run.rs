//! A training run in small: four weights, momentum, running means. Read it; your answer uses it.

/// All that the next step reads, apart from the seed.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Finished steps.
    pub step: u64,
    pub weights: [f32; 4],
    pub velocity: [f32; 4],
    /// Running means of the four inputs, for the evaluation.
    pub statistics: [f32; 4],
}

/// The error of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing is.
    Complete,
    /// `velocity` is missing (0), or that of an earlier step.
    Velocity,
    /// `statistics` are missing (0), or those of an earlier step.
    Statistics,
    /// `step` is 0, or the number of an earlier step; all else is right.
    Step,
    /// `weights` are rounded to bf16.
    RoundedWeights,
}

impl State {
    /// The state before the first step.
    pub fn new(seed: u64) -> Self {
        let weights = std::array::from_fn(|i| uniform(seed, u64::MAX, i as u64));
        State { step: 0, weights, velocity: [0.0; 4], statistics: [0.0; 4] }
    }

    /// One step; returns its loss.
    pub fn advance(&mut self, seed: u64) -> f32 {
        // The inputs are a function of seed and step.
        let x: [f32; 4] = std::array::from_fn(|i| uniform(seed, self.step, i as u64) + 0.3);
        let want = x[0] - 2.0 * x[1] + 0.5 * x[2];
        let error = x.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f32>() - want;
        for i in 0..4 {
            self.velocity[i] = 0.9 * self.velocity[i] + error * x[i];
            self.weights[i] -= 0.02 * self.velocity[i];
            self.statistics[i] += 0.1 * (x[i] - self.statistics[i]);
        }
        self.step += 1;
        error * error / 2.0
    }
}

/// A number in [-1, 1), a function of its arguments.
fn uniform(seed: u64, step: u64, index: u64) -> f32 {
    let mut mixed = seed;
    for word in [step, index, 1] {
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^= mixed >> 29;
    }
    (mixed >> 40) as f32 / (1u32 << 23) as f32 - 1.0
}
