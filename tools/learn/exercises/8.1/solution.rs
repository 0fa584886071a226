use std::ops::Range;

/// Average pooling: the mean of each channel over each window. Windows have `kernel` x `kernel` pixels and `stride`
/// pixels from one to the next; their number is rounded down, and there is no padding.
pub struct AvgPool {
    pub kernel: usize,
    pub stride: usize,
}

impl AvgPool {
    fn windows(&self, side: usize) -> usize {
        (side - self.kernel) / self.stride + 1
    }

    /// The windows along a side that cover a pixel.
    fn covering(&self, pixel: usize, side: usize) -> Range<usize> {
        let first = (pixel + 1).saturating_sub(self.kernel).div_ceil(self.stride);
        first..(pixel / self.stride + 1).min(self.windows(side))
    }

    /// y of the images x [n, h, w, c].
    pub fn forward(&self, x: &[f32], [n, h, w, c]: [usize; 4]) -> Vec<f32> {
        let mut y = Vec::new();
        for image in x.chunks_exact(h * w * c).take(n) {
            for (i, j) in (0..self.windows(h)).flat_map(|i| (0..self.windows(w)).map(move |j| (i, j))) {
                for channel in 0..c {
                    let mut sum = 0.0;
                    for row in i * self.stride..i * self.stride + self.kernel {
                        for column in j * self.stride..j * self.stride + self.kernel {
                            sum += image[(row * w + column) * c + channel];
                        }
                    }
                    y.push(sum / (self.kernel * self.kernel) as f32);
                }
            }
        }
        y
    }

    /// The gradient of x, from dy: calls `store(i, dx_i)` once for each element i of x. The caller overwrites or adds.
    pub fn backward(&self, dy: &[f32], [n, h, w, c]: [usize; 4], mut store: impl FnMut(usize, f32)) {
        let [oh, ow] = [self.windows(h), self.windows(w)];
        for at in 0..n * h * w * c {
            let [image, row, column, channel] = [at / c / w / h, at / c / w % h, at / c % w, at % c];
            let mut sum = 0.0;
            for i in self.covering(row, h) {
                for j in self.covering(column, w) {
                    sum += dy[((image * oh + i) * ow + j) * c + channel];
                }
            }
            store(at, sum / (self.kernel * self.kernel) as f32);
        }
    }
}
