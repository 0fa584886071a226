/// y = x for x >= 0 and y = 0.1 x otherwise.
pub fn leaky_relu(x: f32) -> f32 {
    todo!("the forward function of {x}")
}

/// dx from the output y and from dy.
pub fn leaky_relu_gradient(y: f32, dy: f32) -> f32 {
    todo!("the backward function of {y} and {dy}")
}
