/// The elements of a tensor of the shape `[N, C, H, W]` in NCHW, in the order NHWC.
pub fn nhwc(nchw: &[f32], shape: [usize; 4]) -> Vec<f32> {
    todo!("the {} elements of {shape:?} in another order", nchw.len())
}
