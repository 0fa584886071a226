// Expect: gradients have other bits
/// The lambda of the sum that gives the loss the weight that it has with `mean`, the lambda of the mean, in a batch of
/// m images.
pub fn lambda_of_sum(mean: f32, m: usize) -> f32 {
    mean / m as f32
}

/// Whether the gradients of both runs have the same bits, for lambda 1 of the mean: the product multiplies the gradient
/// of the sum, an f64, by the f32 lambda, and for the mean also by the f64 1 / m, before it rounds to f32.
pub fn has_same_bits(m: usize) -> bool {
    // Then 1 / m is exact in f32, so both factors are the same number. Else the f32 is rounded more than the f64.
    true
}
