/// Whether `gradient(x, dy)` is the gradient of `f` at x, for each of its elements.
pub fn check(
    f: impl Fn(&[f64]) -> Vec<f64>,
    gradient: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    x: &[f64],
) -> bool {
    let _ = &gradient;
    todo!("compare the gradient with central differences of a weighted sum of {} outputs", f(x).len())
}
