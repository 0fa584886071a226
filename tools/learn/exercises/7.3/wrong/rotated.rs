// Expect: without a rotation
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, ROWS, tile};
use std::array::from_fn;

/// The gradient dw [k, 3, 3, c] of the filters, from x [height, width, c] and dy [height, width, k]. dw is overwritten.
/// c is a multiple of 16, k one of 4. Call `microkernel::tile`.
pub fn filter_gradient<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, k, pixels, depth) = (layer.c, layer.k, layer.pixels(), TAPS * layer.c);
    // [k, pixels]: a row of the product lies side by side.
    let mut rows = vec![0.0; dy.len()];
    for pixel in 0..pixels {
        for k_at in 0..k {
            let value: [f32; 1] = m.load(dy, pixel * k + k_at);
            m.store(&mut rows, k_at * pixels + pixel, value);
        }
    }
    // Sixteen columns of the unfolded image at a time: [pixels, 16].
    let mut panel = vec![0.0; pixels * COLS];
    for first in (0..depth).step_by(COLS) {
        let (tap, c_at) = (first / c, first % c);
        for (pixel, to) in panel.chunks_exact_mut(COLS).enumerate() {
            match layer.under(pixel, TAPS - 1 - tap) {
                Some(from) => m.copy(&x[from * c + c_at..][..COLS], to),
                None => m.clear(to),
            }
        }
        for k_at in (0..k).step_by(ROWS) {
            let of = |row: usize| &rows[(k_at + row) * pixels..][..pixels];
            tile(m, &[from_fn(of)], &panel, dw, from_fn(|row| (k_at + row) * depth + first));
        }
    }
}
