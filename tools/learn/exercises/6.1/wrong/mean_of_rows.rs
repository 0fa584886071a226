// Expect: db is the mean of the rows of dy
/// The gradients of y = x W^T + b: dx [m, c], dw [k, c] and db [k] of x [m, c], w [k, c] and dy [m, k], each by rows.
pub fn linear_backward(
    x: &[f32],
    w: &[f32],
    dy: &[f32],
    [m, c, k]: [usize; 3],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (mut dx, mut dw, mut db) = (vec![0.0; m * c], vec![0.0; k * c], vec![0.0; k]);
    for i in 0..m {
        for j in 0..k {
            let dy = dy[i * k + j];
            for l in 0..c {
                dx[i * c + l] += dy * w[j * c + l];
                dw[j * c + l] += dy * x[i * c + l];
            }
            db[j] += dy;
        }
    }
    db.iter_mut().for_each(|db| *db /= m as f32);
    (dx, dw, db)
}
