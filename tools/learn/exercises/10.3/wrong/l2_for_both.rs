// Expect: that is the L2 penalty
/// The constants of Adam.
pub struct Solver {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f32,
    pub weight_decay: f32,
    /// Whether the decay is beside the step (AdamW), or a part of the gradient (Adam).
    pub decoupled: bool,
}

/// Step t of Adam, t = 1, 2, 3...: changes the weights w, the means m and the mean squares v by the gradients g, at the
/// learning rate `rate`.
pub fn adam(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], rate: f32, t: u32, solver: &Solver) {
    // In f64: 1 - beta2^t has few digits in f32 while t is small.
    let [correction1, correction2] = [solver.beta1, solver.beta2].map(|beta| 1.0 - beta.powi(t as i32));
    let [keep1, keep2] = [solver.beta1 as f32, solver.beta2 as f32];
    let [new1, new2] = [(1.0 - solver.beta1) as f32, (1.0 - solver.beta2) as f32];
    let step_size = (f64::from(rate) / correction1) as f32;
    let root = correction2.sqrt() as f32;
    let (penalty, shrink) = match solver.decoupled {
        true => (solver.weight_decay, 1.0),
        false => (solver.weight_decay, 1.0),
    };
    for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
        let own = g + penalty * *w;
        *m = keep1 * *m + new1 * own;
        *v = keep2 * *v + new2 * own * own;
        *w = shrink * *w - step_size * (*m / (v.sqrt() / root + solver.epsilon));
    }
}
