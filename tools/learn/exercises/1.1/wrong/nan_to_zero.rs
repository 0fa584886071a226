// Expect: leaky_relu(NaN) is 0: a network that diverged must show it
pub fn leaky_relu(x: f32) -> f32 {
    x.max(0.0) + 0.1 * x.min(0.0)
}

pub fn leaky_relu_gradient(y: f32, dy: f32) -> f32 {
    if y < 0.0 { 0.1 * dy } else { dy }
}
