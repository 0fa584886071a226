//! Step 4: tiles of sums that stay in registers.

use super::layer::{Layer, TAPS};
use super::meter::{Cost, Meter, values_of_filters};

/// Rows (pixels) and columns (filters) of a tile of sums.
pub const ROWS: usize = 4;
pub const COLS: usize = 16;

// ANCHOR: tile
/// One tile of the result: row i goes to `y[at[i]..]`. A segment has the source of each row for some elements of the
/// depth; `b` holds 16 columns for each element of the depth.
#[inline(always)]
pub fn tile<M: Meter>(m: &mut M, segments: &[[&[f32]; ROWS]], b: &[f32], y: &mut [f32], at: [usize; ROWS]) {
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
        m.store(y, at, sums);
    }
}
// ANCHOR_END: tile

/// Filters `[k, depth]` as `[k / 16, depth, 16]`: a tile reads its columns from the beginning to the end.
#[inline(always)]
pub fn packed<M: Meter>(m: &mut M, w: &[f32], depth: usize) -> Vec<f32> {
    let mut panels = vec![0.0; w.len()];
    for (at, w) in w.chunks_exact(depth).enumerate() {
        let (panel, column) = (at / COLS, at % COLS);
        for d in 0..depth {
            let value: [f32; 1] = m.load(w, d);
            m.store(&mut panels, (panel * depth + d) * COLS + column, value);
        }
    }
    panels
}

#[inline(always)]
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let (c, k, depth) = (layer.c, layer.k, TAPS * layer.c);
    let zeros = vec![0.0; c];
    let under = |pixel, tap| layer.under(pixel, tap).map_or(&zeros[..], |from| &x[from * c..][..c]);
    let panels = packed(m, w, depth);
    for (panel, b) in panels.chunks_exact(depth * COLS).enumerate() {
        for first in (0..layer.pixels()).step_by(ROWS) {
            let segments: [[&[f32]; ROWS]; TAPS] =
                std::array::from_fn(|tap| std::array::from_fn(|row| under(first + row, tap)));
            tile(m, &segments, b, y, std::array::from_fn(|row| (first + row) * k + panel * COLS));
        }
    }
}

/// Values that the tiles of a product `[rows, depth] [depth, columns]` move.
pub fn values_of_tiles(rows: usize, depth: usize, columns: usize) -> usize {
    rows / ROWS * (columns / COLS) * (depth * (ROWS + COLS) + ROWS * COLS)
}

pub fn cost(layer: &Layer) -> Cost {
    let (pixels, depth) = (layer.pixels(), TAPS * layer.c);
    let moved = values_of_filters(layer) + values_of_tiles(pixels, depth, layer.k);
    Cost::new(pixels * depth * layer.k, moved)
}
