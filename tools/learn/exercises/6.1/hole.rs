/// The gradients of y = x W^T + b: dx [m, c], dw [k, c] and db [k] of x [m, c], w [k, c] and dy [m, k], each by rows.
pub fn linear_backward(
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    [m, c, k]: [usize; 3],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let _ = (x, w, dy);
    todo!("three sums, over {k}, {m} and {m} terms, for {c} columns")
}
