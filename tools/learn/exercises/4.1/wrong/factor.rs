// Expect: dx[0] is
/// Whether a gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradMode {
    Overwrite,
    Accumulate,
}

/// The factor 2 is missing.
pub fn square_gradient(x: &[f32], dy: &[f32], dx: &mut [f32], mode: GradMode) {
    for (dx, (x, dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
        match mode {
            GradMode::Overwrite => *dx = x * dy,
            GradMode::Accumulate => *dx += x * dy,
        }
    }
}
