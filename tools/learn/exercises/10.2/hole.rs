/// A step of Nesterov's momentum, in the textbooks' form: the gradient is that of the point where the old velocity
/// alone would carry the weight. Changes the weight w and the velocity v. `gradient` returns the gradient at a weight.
pub fn textbook(w: &mut f64, v: &mut f64, gradient: &dyn Fn(f64) -> f64, rate: f64, mu: f64) {
    let _ = (w, v, gradient);
    todo!("look ahead with {rate} and {mu}, then the velocity, then the weight")
}

/// The weight of PyTorch's form at the same moment: the place of which the next step takes the gradient.
pub fn in_pytorch(w: f64, v: f64, rate: f64, mu: f64) -> f64 {
    todo!("PyTorch's weight for {w}, {v}, {rate} and {mu}")
}
