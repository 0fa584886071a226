// Expect: is the factor of dy, not the gradient
pub fn leaky_relu(x: f32) -> f32 {
    if x < 0.0 { 0.1 * x } else { x }
}

pub fn leaky_relu_gradient(y: f32, _dy: f32) -> f32 {
    if y < 0.0 { 0.1 } else { 1.0 }
}
