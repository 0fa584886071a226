use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, ROWS};

/// The gradient dw [k, 3, 3, c] of the filters, from x [height, width, c] and dy [height, width, k]. dw is overwritten.
/// c is a multiple of 16, k one of 4. Call `microkernel::tile`.
pub fn filter_gradient<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let _ = (m, x, dy, dw);
    todo!("{} tiles of {ROWS} filters and {COLS} columns", layer.k / ROWS * (TAPS * layer.c / COLS))
}
