// Expect: the gradient at y = 0 with dy = 2 is 0.2 instead of 2
pub fn leaky_relu(x: f32) -> f32 {
    if x < 0.0 { 0.1 * x } else { x }
}

pub fn leaky_relu_gradient(y: f32, dy: f32) -> f32 {
    if y > 0.0 { dy } else { 0.1 * dy }
}
