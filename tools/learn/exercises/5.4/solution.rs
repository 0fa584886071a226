//! Five operations with their gradients. The gradient of huber had an error.

/// The name of the operation whose gradient is wrong.
pub const FOUND: &str = "huber";

/// y = x / (1 + exp(-x)).
pub fn swish(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| x / (1.0 + (-x).exp())).collect()
}

pub fn swish_gradient(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let one = |x: f64| {
        let s = 1.0 / (1.0 + (-x).exp());
        s + x * s * (1.0 - s)
    };
    x.iter().zip(dy).map(|(x, dy)| one(*x) * dy).collect()
}

/// y = x^2 / 2 for |x| <= 1, and |x| - 1/2 beyond.
pub fn huber(x: &[f64]) -> Vec<f64> {
    x.iter().map(|x| if x.abs() <= 1.0 { 0.5 * x * x } else { x.abs() - 0.5 }).collect()
}

pub fn huber_gradient(x: &[f64], dy: &[f64]) -> Vec<f64> {
    // Beyond the bends the slope is 1 or -1. Noise in -1 to 1 never comes there.
    x.iter().zip(dy).map(|(x, dy)| x.clamp(-1.0, 1.0) * dy).collect()
}

/// y = exp(x) / sum exp(x).
pub fn softmax(x: &[f64]) -> Vec<f64> {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = x.iter().map(|x| (x - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

pub fn softmax_gradient(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let y = softmax(x);
    let mean: f64 = y.iter().zip(dy).map(|(y, dy)| y * dy).sum();
    y.iter().zip(dy).map(|(y, dy)| y * (dy - mean)).collect()
}

/// y = x / r with r^2 = the mean of x^2.
pub fn rms_norm(x: &[f64]) -> Vec<f64> {
    let r = rms(x);
    x.iter().map(|x| x / r).collect()
}

pub fn rms_norm_gradient(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let (r, n) = (rms(x), x.len() as f64);
    let along: f64 = x.iter().zip(dy).map(|(x, dy)| x * dy).sum();
    x.iter().zip(dy).map(|(x, dy)| dy / r - x * along / (n * r * r * r)).collect()
}

fn rms(x: &[f64]) -> f64 {
    (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64).sqrt()
}

/// y_i = x_i x_(i+1); the element behind the last one is the first.
pub fn neighbours(x: &[f64]) -> Vec<f64> {
    (0..x.len()).map(|i| x[i] * x[(i + 1) % x.len()]).collect()
}

pub fn neighbours_gradient(x: &[f64], dy: &[f64]) -> Vec<f64> {
    let n = x.len();
    (0..n).map(|i| dy[i] * x[(i + 1) % n] + dy[(i + n - 1) % n] * x[(i + n - 1) % n]).collect()
}
