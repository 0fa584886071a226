/// y = x for x >= 0 and y = 0.1 x otherwise.
pub fn leaky_relu(x: f32) -> f32 {
    // A comparison with NaN is false, so the last branch is the one that keeps NaN.
    if x < 0.0 { 0.1 * x } else { x }
}

/// dx from the output y and from dy. The slope is positive, so y has the sign of x.
pub fn leaky_relu_gradient(y: f32, dy: f32) -> f32 {
    if y < 0.0 { 0.1 * dy } else { dy }
}
