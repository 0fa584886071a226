use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, packed};

/// Rows (pixels) of a tile of sums; it has COLS = 16 columns (filters).
const ROWS: usize = 6;

/// Step 4 with tiles of 6 x 16, for any number of pixels. k is a multiple of 16. All loads, stores and multiplications
/// go through `m`.
pub fn run<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], w: &[f32], y: &mut [f32]) {
    let (depth, pixels) = (TAPS * layer.c, layer.pixels());
    let panels = packed(m, w, depth);
    let _ = (x, y);
    todo!(
        "{} panels of {COLS} filters, {} tiles of {ROWS} pixels",
        panels.len() / depth / COLS,
        pixels.div_ceil(ROWS)
    )
}
