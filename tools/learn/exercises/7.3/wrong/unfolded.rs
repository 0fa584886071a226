// Expect: and the unfolded image has 294912
use crate::layer::{Layer, TAPS};
use crate::meter::Meter;
use crate::microkernel::{COLS, ROWS, tile};
use std::array::from_fn;

pub fn filter_gradient<M: Meter>(m: &mut M, layer: &Layer, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (c, k, pixels, depth) = (layer.c, layer.k, layer.pixels(), TAPS * layer.c);
    let mut rows = vec![0.0; dy.len()];
    for pixel in 0..pixels {
        for k_at in 0..k {
            let value: [f32; 1] = m.load(dy, pixel * k + k_at);
            m.store(&mut rows, k_at * pixels + pixel, value);
        }
    }
    // All panels at once.
    let mut panels = vec![0.0; pixels * depth];
    for (first, panel) in (0..depth).step_by(COLS).zip(panels.chunks_exact_mut(pixels * COLS)) {
        for (pixel, to) in panel.chunks_exact_mut(COLS).enumerate() {
            match layer.under(pixel, first / c) {
                Some(from) => m.copy(&x[from * c + first % c..][..COLS], to),
                None => m.clear(to),
            }
        }
        for k_at in (0..k).step_by(ROWS) {
            let of = |row: usize| &rows[(k_at + row) * pixels..][..pixels];
            tile(m, &[from_fn(of)], panel, dw, from_fn(|row| (k_at + row) * depth + first));
        }
    }
}
