/// The rate from which on a center does not converge, if the same n images of its person are in each batch and stay
/// where they are.
pub fn limit(n: usize) -> f64 {
    todo!("the limit for {n} images")
}

/// The rate with which the center is at the mean of its images after one step.
pub fn at_once(n: usize) -> f64 {
    todo!("the best rate for {n} images")
}
