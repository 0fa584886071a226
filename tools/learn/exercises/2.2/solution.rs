/// The elements of a tensor of the shape `[N, C, H, W]` in NCHW, in the order NHWC.
pub fn nhwc(nchw: &[f32], shape: [usize; 4]) -> Vec<f32> {
    let [images, channels, height, width] = shape;
    let mut result = Vec::with_capacity(nchw.len());
    for n in 0..images {
        for h in 0..height {
            for w in 0..width {
                for c in 0..channels {
                    result.push(nchw[((n * channels + c) * height + h) * width + w]);
                }
            }
        }
    }
    result
}
