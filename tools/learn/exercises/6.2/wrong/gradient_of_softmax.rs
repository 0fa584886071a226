// Expect: this is the gradient of the softmax, not of its logarithm
/// The logarithms of the softmax.
pub fn log_softmax(z: &[f32]) -> Vec<f32> {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = z.iter().map(|z| (z - max).exp()).sum();
    let log = sum.ln();
    // Not z - (max + log), where a large maximum would absorb the digits of the logarithm.
    z.iter().map(|z| (z - max) - log).collect()
}

/// dz from the output y and from dy: dz_j = dy_j - exp(y_j) sum_k dy_k.
pub fn log_softmax_backward(y: &[f32], dy: &[f32]) -> Vec<f32> {
    let sum: f32 = y.iter().zip(dy).map(|(y, dy)| y.exp() * dy).sum();
    y.iter().zip(dy).map(|(y, dy)| y.exp() * (dy - sum)).collect()
}
