//! The layer that all steps compute, and its definition.

/// Taps of a filter: 3 x 3.
pub const TAPS: usize = 9;

/// A convolution of one image x `[height, width, c]` with filters w `[k, 3, 3, c]` to y `[height, width, k]`: stride 1,
/// one pixel of padding on each side. Steps 1 to 3 compute any sizes. Step 4 needs a multiple of 4 pixels and of 16
/// filters; step 5 needs an even height and width, a multiple of 16 pixels, of 8 channels and of 16 filters.
pub struct Layer {
    pub height: usize,
    pub width: usize,
    pub c: usize,
    pub k: usize,
}

impl Layer {
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// The input pixel under a tap (0 to 8) when the filter is at `pixel`; `None` in the padding.
    #[inline(always)]
    pub fn under(&self, pixel: usize, tap: usize) -> Option<usize> {
        // Row -1 becomes a huge number, which the comparison treats as outside.
        let row = (pixel / self.width + tap / 3).wrapping_sub(1);
        let column = (pixel % self.width + tap % 3).wrapping_sub(1);
        (row < self.height && column < self.width).then(|| row * self.width + column)
    }

    /// The number of pairs of a pixel and a tap that is not in the padding.
    pub fn taps_inside(&self) -> usize {
        (3 * self.height - 2) * (3 * self.width - 2)
    }

    /// The definition, in f64.
    pub fn definition(&self, x: &[f32], w: &[f32]) -> Vec<f64> {
        let mut y = vec![0.0; self.pixels() * self.k];
        for (at, y) in y.iter_mut().enumerate() {
            let (pixel, k) = (at / self.k, at % self.k);
            for tap in 0..TAPS {
                let Some(from) = self.under(pixel, tap) else { continue };
                let x = &x[from * self.c..][..self.c];
                let w = &w[(k * TAPS + tap) * self.c..][..self.c];
                *y += x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
            }
        }
        y
    }
}
