// Expect: instead of 3
/// The length of the first step of Adam without the bias correction, as a multiple of the learning rate, for a constant
/// gradient that is not 0. Epsilon is 0.
pub fn first_length(beta1: f64, beta2: f64) -> f64 {
    // m = (1 - beta1) g and v = (1 - beta2) g^2.
    (1.0 - beta1) / (1.0 - beta2).sqrt()
}

/// The number of the step, from 1, from which on all steps without the correction differ by less than 1 % from those
/// with it.
pub fn settled(beta1: f64, beta2: f64) -> u32 {
    // In step t m is (1 - beta1^t) g and v is (1 - beta2^t) g^2; with the correction a step has the length 1. Both
    // powers fall, so beyond the step where both are below 1e-6 no difference of 1 % is left.
    let length = |t: i32| (1.0 - beta1.powi(t)) / (1.0 - beta2.powi(t)).sqrt();
    let last = (1..).find(|&t| beta1.powi(t).max(beta2.powi(t)) < 1e-6).unwrap();
    let is_far = |t: &i32| beta2.powi(*t) >= 0.01;
    (1..=last).rev().find(is_far).map_or(1, |t| t as u32 + 1)
}
