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
    let _ = (w, m, v, rate, solver);
    todo!("step {t} of {} weights", g.len())
}
