//! A small training run of exercise 10.5: a linear function is fitted with Adam. Read it; your answer uses it.

/// A run between two steps.
#[derive(Clone)]
pub struct Run {
    pub weights: Vec<f32>,
    /// Adam's means, one for each weight.
    pub means: Vec<f32>,
    /// Adam's mean squares.
    pub squares: Vec<f32>,
    /// Number of steps so far.
    pub step: u64,
    /// Decides the first weights and all batches.
    pub seed: u64,
}

const BATCH: u64 = 8;

impl Run {
    /// A run before its first step.
    pub fn new(weights: usize, seed: u64) -> Self {
        let first = (0..weights).map(|i| 0.1 * noise([seed, u64::MAX, 0, i as u64])).collect();
        let zeros = vec![0.0; weights];
        Run { weights: first, means: zeros.clone(), squares: zeros, step: 0, seed }
    }

    /// The next step. All it uses is in the fields: the batch is drawn by seed and step, as the product draws it.
    pub fn step(&mut self) {
        let rate = if self.step < 12 { 0.05 } else { 0.005 };
        let n = self.weights.len();
        let mut gradients = vec![0.0; n];
        for image in 0..BATCH {
            let x: Vec<f32> = (0..n as u64).map(|i| noise([self.seed, self.step, image, i])).collect();
            let wanted: f32 = x.iter().enumerate().map(|(i, x)| x * (i % 3) as f32).sum();
            let found: f32 = x.iter().zip(&self.weights).map(|(x, w)| x * w).sum();
            gradients.iter_mut().zip(&x).for_each(|(g, x)| *g += (found - wanted) * x / BATCH as f32);
        }
        self.step += 1;
        let t = self.step as i32;
        let [correction1, correction2] = [0.9_f64, 0.999].map(|beta| 1.0 - beta.powi(t));
        let (step_size, root) = ((rate / correction1) as f32, correction2.sqrt() as f32);
        for (i, g) in gradients.iter().enumerate() {
            self.means[i] = 0.9 * self.means[i] + 0.1 * g;
            self.squares[i] = 0.999 * self.squares[i] + 0.001 * g * g;
            self.weights[i] -= step_size * self.means[i] / (self.squares[i].sqrt() / root + 1e-8);
        }
    }
}

/// A number in [-1, 1) that these four decide (SplitMix64, after each of them).
fn noise(by: [u64; 4]) -> f32 {
    let mut state = 0_u64;
    for part in by {
        state = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state ^= state >> 31;
    }
    (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
}
