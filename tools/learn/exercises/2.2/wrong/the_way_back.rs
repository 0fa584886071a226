// Expect: this is the way back, from NHWC to NCHW
pub fn nhwc(values: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [images, channels, height, width] = shape;
    let mut result = Vec::with_capacity(values.len());
    for n in 0..images {
        for c in 0..channels {
            for h in 0..height {
                for w in 0..width {
                    result.push(values[((n * height + h) * width + w) * channels + c]);
                }
            }
        }
    }
    result
}
