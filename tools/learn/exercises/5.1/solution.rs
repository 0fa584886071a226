/// Whether `gradient(x, dy)` is the gradient of `f` at x, for each of its elements.
pub fn check(
    f: impl Fn(&[f64]) -> Vec<f64>,
    gradient: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    x: &[f64],
) -> bool {
    // Weights without a pattern, so that errors do not cancel in the sum.
    let weights: Vec<f64> = (0..f(x).len()).map(|i| ((i as f64 + 1.0) * 12.9898).sin()).collect();
    let loss = |x: &[f64]| -> f64 { f(x).iter().zip(&weights).map(|(y, w)| y * w).sum() };
    let analytic = gradient(x, &weights);
    let step = 1e-5;
    analytic.len() == x.len()
        && (0..x.len()).all(|i| {
            let at = |delta: f64| {
                let mut moved = x.to_vec();
                moved[i] += delta;
                loss(&moved)
            };
            let numeric = (at(step) - at(-step)) / (2.0 * step);
            (analytic[i] - numeric).abs() <= 1e-6 * analytic[i].abs().max(numeric.abs()).max(1.0)
        })
}
