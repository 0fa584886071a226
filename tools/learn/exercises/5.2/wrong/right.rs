// Expect: your gradient is right at nearly all points
pub fn value(x: f64) -> f64 {
    x * x
}

pub fn derivative(x: f64) -> f64 {
    2.0 * x
}
