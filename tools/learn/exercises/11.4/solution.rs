/// The rate from which on a center does not converge, if the same n images of its person are in each batch and stay
/// where they are.
pub fn limit(n: usize) -> f64 {
    // delta = n (c - mean) / (1 + n), so c - mean is multiplied by 1 - rate n / (1 + n) in each step. This factor is -1
    // at the limit.
    2.0 * (1.0 + n as f64) / n as f64
}

/// The rate with which the center is at the mean of its images after one step.
pub fn at_once(n: usize) -> f64 {
    // There the factor is 0.
    (1.0 + n as f64) / n as f64
}
