/// Whether `gradient(x, dy)` is the gradient of `f` at x, for each of its elements.
pub fn check(
    f: impl Fn(&[f64]) -> Vec<f64>,
    gradient: impl Fn(&[f64], &[f64]) -> Vec<f64>,
    x: &[f64],
) -> bool {
    let y = f(x);
    let dx = gradient(x, &y);
    todo!("compare {} elements with central differences", dx.len())
}
