// Expect: your gradient is right at nearly all points
pub fn value(x: f64) -> f64 {
    x.abs()
}

/// Wrong at 0 alone.
pub fn derivative(x: f64) -> f64 {
    if x >= 0.0 { 1.0 } else { -1.0 }
}
