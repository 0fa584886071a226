/// Whether a gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradMode {
    Overwrite,
    Accumulate,
}

/// The gradient of y = x^2: writes 2 x dy to dx, or adds it.
pub fn square_gradient(x: &[f32], dy: &[f32], dx: &mut [f32], mode: GradMode) {
    todo!("{mode:?} {} elements, from {} and {}", dx.len(), x.len(), dy.len())
}
