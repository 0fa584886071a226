// Expect: after step 0: PyTorch's w[0] is
/// A step of Nesterov's momentum, in the textbooks' form: the gradient is that of the point where the old velocity
/// alone would carry the weight. Changes the weight w and the velocity v. `gradient` returns the gradient at a weight.
pub fn textbook(w: &mut f64, v: &mut f64, gradient: &dyn Fn(f64) -> f64, rate: f64, mu: f64) {
    let g = gradient(*w - rate * mu * *v);
    *v = mu * *v + g;
    *w -= rate * *v;
}

/// The weight of PyTorch's form at the same moment: the place of which the next step takes the gradient.
pub fn in_pytorch(w: f64, v: f64, rate: f64, mu: f64) -> f64 {
    // PyTorch stores the point ahead, p = w - r mu v. With the new v the next one is w - r v' - r mu v', which is
    // p - r (g + mu v'), because w - r v' = w - r mu v - r g = p - r g.
    w
}
