// Expect: the old content of the buffer, NaN, is still in it
/// Whether a gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradMode {
    Overwrite,
    Accumulate,
}

/// 0 times NaN is NaN: a factor does not overwrite.
pub fn square_gradient(x: &[f32], dy: &[f32], dx: &mut [f32], mode: GradMode) {
    let keep = if mode == GradMode::Accumulate { 1.0 } else { 0.0 };
    for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
        *dx = keep * *dx + 2.0 * x * dy;
    }
}
