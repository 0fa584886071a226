// Expect: x enters y by the mean and by the variance too
/// The constant that is added to the variance.
pub const EPS: f64 = 1e-5;

/// The gradients dx [rows, c], dgamma [c] and dbeta [c] of batch normalisation with the statistics of the batch, from
/// x [rows, c], dy [rows, c] and gamma [c].
pub fn batchnorm_backward(x: &[f64], dy: &[f64], gamma: &[f64], c: usize) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let rows = x.len() / c;
    let (mut dx, mut dgamma, mut dbeta) = (vec![0.0; x.len()], vec![0.0; c], vec![0.0; c]);
    for channel in 0..c {
        let places = || (0..rows).map(|row| row * c + channel);
        let mean = places().map(|at| x[at]).sum::<f64>() / rows as f64;
        let var = places().map(|at| (x[at] - mean).powi(2)).sum::<f64>() / rows as f64;
        let inv_std = 1.0 / (var + EPS).sqrt();
        let normal = |at: usize| (x[at] - mean) * inv_std;
        dbeta[channel] = places().map(|at| dy[at]).sum();
        dgamma[channel] = places().map(|at| dy[at] * normal(at)).sum();
        for at in places() {
            dx[at] = gamma[channel] * inv_std * dy[at];
        }
    }
    (dx, dgamma, dbeta)
}
