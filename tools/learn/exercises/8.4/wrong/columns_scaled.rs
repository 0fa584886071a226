// Expect: look at its filter
/// The constant that is added to the variance.
pub const EPS: f32 = 1e-5;

/// Filters [k, depth] and a bias [k] that compute what a convolution with the filters w [k, depth] and the bias [k] (or
/// none) computes, followed by batch normalisation with the running statistics. The other arrays are [k].
pub fn fold(
    w: &[f32],
    bias: Option<&[f32]>,
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    var: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let depth = w.len() / gamma.len();
    // y = scale (w x + bias - mean) + beta.
    let scale = |k: usize| gamma[k] / (var[k] + EPS).sqrt();
    let own = |k: usize| bias.map_or(0.0, |bias| bias[k]);
    let filters = w.iter().enumerate().map(|(at, w)| w * scale(at % gamma.len())).collect();
    let bias = (0..gamma.len()).map(|k| beta[k] + (own(k) - mean[k]) * scale(k)).collect();
    (filters, bias)
}
