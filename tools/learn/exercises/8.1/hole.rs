/// Average pooling: the mean of each channel over each window. Windows have `kernel` x `kernel` pixels and `stride`
/// pixels from one to the next; their number is rounded down, and there is no padding.
pub struct AvgPool {
    pub kernel: usize,
    pub stride: usize,
}

impl AvgPool {
    /// y of the images x [n, h, w, c].
    pub fn forward(&self, x: &[f32], [n, h, w, c]: [usize; 4]) -> Vec<f32> {
        let _ = (x, h, w);
        todo!("windows of {n} images with {c} channels")
    }

    /// The gradient of x, from dy: calls `store(i, dx_i)` once for each element i of x. The caller overwrites or adds.
    pub fn backward(&self, dy: &[f32], [n, h, w, c]: [usize; 4], mut store: impl FnMut(usize, f32)) {
        let _ = (dy, &mut store);
        todo!("gather for {} elements", n * h * w * c)
    }
}
