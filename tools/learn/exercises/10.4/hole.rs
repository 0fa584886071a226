/// The length of the first step of Adam without the bias correction, as a multiple of the learning rate, for a constant
/// gradient that is not 0. Epsilon is 0.
pub fn first_length(beta1: f64, beta2: f64) -> f64 {
    todo!("m / sqrt(v) after the first step, for {beta1} and {beta2}")
}

/// The number of the step, from 1, from which on all steps without the correction differ by less than 1 % from those
/// with it.
pub fn settled(beta1: f64, beta2: f64) -> u32 {
    todo!("the first such step, for {beta1} and {beta2}")
}
