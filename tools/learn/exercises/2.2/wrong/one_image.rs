// Expect: 8 elements instead of 16: all 2 images are converted
pub fn nhwc(nchw: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [_, channels, height, width] = shape;
    let mut result = Vec::with_capacity(nchw.len());
    for h in 0..height {
        for w in 0..width {
            for c in 0..channels {
                result.push(nchw[(c * height + h) * width + w]);
            }
        }
    }
    result
}
