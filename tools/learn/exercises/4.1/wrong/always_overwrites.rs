// Expect: the gradient of the other use is lost
/// Whether a gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradMode {
    Overwrite,
    Accumulate,
}

pub fn square_gradient(x: &[f32], dy: &[f32], dx: &mut [f32], _mode: GradMode) {
    for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
        *dx = 2.0 * x * dy;
    }
}
