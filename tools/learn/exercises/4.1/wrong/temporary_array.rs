// Expect: the answer allocates memory 1 times
/// Whether a gradient buffer already holds something to add to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradMode {
    Overwrite,
    Accumulate,
}

pub fn square_gradient(x: &[f32], dy: &[f32], dx: &mut [f32], mode: GradMode) {
    let values: Vec<f32> = x.iter().zip(dy).map(|(x, dy)| 2.0 * x * dy).collect();
    for (dx, value) in dx.iter_mut().zip(values) {
        match mode {
            GradMode::Overwrite => *dx = value,
            GradMode::Accumulate => *dx += value,
        }
    }
}
