/// The lambda of the sum that gives the loss the weight that it has with `mean`, the lambda of the mean, in a batch of
/// m images.
pub fn lambda_of_sum(mean: f32, m: usize) -> f32 {
    todo!("the lambda of the sum for {mean} and {m} images")
}

/// Whether the gradients of both runs have the same bits, for lambda 1 of the mean: the product multiplies the gradient
/// of the sum, an f64, by the f32 lambda, and for the mean also by the f64 1 / m, before it rounds to f32.
pub fn has_same_bits(m: usize) -> bool {
    todo!("for {m} images")
}
