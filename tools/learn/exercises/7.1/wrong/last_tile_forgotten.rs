// Expect: the last tile has fewer than six pixels
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, packed};
use std::array::from_fn;

/// Rows (pixels) of a tile of sums; it has COLS = 16 columns (filters).
const ROWS: usize = 6;

/// One tile of the result: row i goes to `y[at[i]..]`, for as many rows as `at` has.
fn tile<M: Meter>(m: &mut M, segments: &[[&[f32]; ROWS]], b: &[f32], y: &mut [f32], at: &[usize]) {
    let mut sums = [[0.0; COLS]; ROWS];
    let mut depth = 0;
    for rows in segments {
        for c in 0..rows[0].len() {
            let b: [f32; COLS] = m.load(b, depth * COLS);
            for (sums, row) in sums.iter_mut().zip(rows) {
                let [a] = m.load(row, c);
                m.add_product(sums, a, &b);
            }
            depth += 1;
        }
    }
    for (sums, at) in sums.into_iter().zip(at) {
        m.store(y, *at, sums);
    }
}

/// Step 4 with tiles of 6 x 16, for any number of pixels. k is a multiple of 16. All loads, stores and multiplications
/// go through `m`.
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let (c, depth, pixels) = (layer.c, TAPS * layer.c, layer.pixels());
    let zeros = vec![0.0; c];
    let panels = packed(m, w, depth);
    for (panel, b) in panels.chunks_exact(depth * COLS).enumerate() {
        for first in (0..pixels / ROWS * ROWS).step_by(ROWS) {
            let count = ROWS.min(pixels - first);
            // The last tile may have rows without a pixel: they multiply zeros, and are not stored.
            let under = |row: usize, tap| match layer.under(first + row, tap).filter(|_| row < count) {
                Some(from) => &x[from * c..][..c],
                None => &zeros[..],
            };
            let segments: [[&[f32]; ROWS]; TAPS] = from_fn(|tap| from_fn(|row| under(row, tap)));
            let at: [usize; ROWS] = from_fn(|row| (first + row) * layer.k + panel * COLS);
            tile(m, &segments, b, y, &at[..count]);
        }
    }
}
